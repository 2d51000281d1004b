"""Finds a token and its key (PKCS #11 Base Specification 2.40, §4)."""

from __future__ import annotations

import fnmatch
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from kspsign.keys.pkcs11 import cryptoki
from kspsign.keys.pkcs11.cryptoki import Token
from kspsign.keys.pkcs11.isolated import IsolatedModule
from kspsign.keys.pkcs11.options import Pkcs11Options
from kspsign.keys.protocol import reference_part
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a key: module, token (by label or slot, else the only one), key by label or CKA_ID (both:
    both)."""

    module: Path
    token: str | None
    slot: int | None
    label: str | None
    key_id: bytes | None

    @classmethod
    def of_options(cls, options: Pkcs11Options) -> Self:
        """Raises ConfigurationError when the module is missing or the key's id is not hex."""
        if options.pkcs11_module is None:
            raise ConfigurationError("key store pkcs11 needs its module", remedy="Name it with --pkcs11-module.")
        key_id = None
        if options.pkcs11_key_id is not None:
            try:
                key_id = bytes.fromhex(options.pkcs11_key_id.removeprefix("0x").replace(":", ""))
            except ValueError as no_hex:
                raise ConfigurationError(
                    f"--pkcs11-key-id {options.pkcs11_key_id!r} is not a hex number",
                    remedy="Give the CKA_ID as hex digits, as `pkcs11-tool --list-objects` prints it.",
                ) from no_hex
        label = options.keypair_alias
        return cls(options.pkcs11_module.absolute(), options.pkcs11_token, options.pkcs11_slot, label, key_id)

    @classmethod
    def of_reference(cls, reference: Mapping[str, str]) -> Self:
        """Raises PrerequisiteError when a part is missing or damaged."""
        module, slot, key_id = reference_part(reference, "module"), reference.get("slot"), reference.get("key_id")
        try:
            return cls(
                Path(module),
                reference.get("token"),
                None if slot is None else int(slot),
                reference.get("label"),
                None if key_id is None else bytes.fromhex(key_id),
            )
        except ValueError as damaged:
            raise PrerequisiteError(
                "the stored key reference is damaged",
                code="KEY_REFERENCE",
                remedy="Run kspsign certsync again: it writes a new reference.",
            ) from damaged

    def as_reference(self, leaf: bytes, file: Path | None) -> dict[str, str]:
        """For the thumbprint store."""
        parts = {
            "module": str(self.module),
            "token": self.token,
            "slot": None if self.slot is None else str(self.slot),
            "label": self.label,
            "key_id": None if self.key_id is None else self.key_id.hex(),
            "leaf": hashlib.sha256(leaf).hexdigest(),
            "certificate": None if file is None else str(file),
        }
        return {name: value for name, value in parts.items() if value is not None}

    @property
    def key(self) -> str:
        """The key's name for people."""
        named = [f"label {self.label}"] if self.label is not None else []
        return "the key with " + " and ".join(named + ([f"id {self.key_id.hex()}"] if self.key_id else []))


def find_token(module: IsolatedModule, address: Address) -> Token:
    """The token that `address` means; raises PrerequisiteError with those that are there, CryptokiError when its slot
    can't be read."""
    present, refused = module.tokens()
    found = [token for token in present if _is_meant(token, address)]
    if len(found) == 1:
        return found[0]
    for slot, refusal in refused:
        if not found and address.slot in {None, slot}:
            raise refusal
    wanted = f"label {address.token}" if address.token is not None else f"slot {address.slot}"
    listed = ", ".join(f"{token.label!r} (slot {token.slot})" for token in present) or "none"
    if found:
        what, remedy = "several tokens fit", "Name one with --pkcs11-token (its label) or --pkcs11-slot."
    else:
        what = "no token is present" if address.token is None and address.slot is None else f"no token has {wanted}"
        remedy = "Connect the token; check --pkcs11-token and the module's own configuration and credentials."
    raise PrerequisiteError(
        f"PKCS#11 module {address.module.name}: {what}; available: {listed}", code="PKCS11_NO_TOKEN", remedy=remedy
    )


def _is_meant(token: Token, address: Address) -> bool:
    """By label, by a pattern of labels (some change with each certificate), or by serial number."""
    named = address.token
    fits = named is None or named in {token.label, token.serial} or fnmatch.fnmatchcase(token.label, named)
    return fits and address.slot in {None, token.slot}


def find_key(module: IsolatedModule, session: int, address: Address) -> int:
    """The private key's handle in this session; raises PrerequisiteError."""
    wanted: dict[int, bytes] = {}
    if address.label is not None:
        wanted[cryptoki.CKA_LABEL] = address.label.encode()
    if address.key_id is not None:
        wanted[cryptoki.CKA_ID] = address.key_id
    found = module.find(session, cryptoki.CKO_PRIVATE_KEY, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        remedy = "Give its CKA_ID with --pkcs11-key-id as well."
        raise PrerequisiteError(f"the token holds several of {address.key}", code="PKCS11_NO_KEY", remedy=remedy)
    handles = module.find(session, cryptoki.CKO_PRIVATE_KEY, {})
    labels = sorted({(module.attribute(session, handle, cryptoki.CKA_LABEL) or b"").decode(errors="replace")
                     for handle in handles})  # fmt: skip
    hint = did_you_mean(address.label or "", labels)
    raise PrerequisiteError(
        f"the token does not hold {address.key}; available private keys: {', '.join(labels) or 'none'}",
        code="PKCS11_NO_KEY",
        remedy=f"{hint}Correct --keypair-alias or --pkcs11-key-id; private keys show only after login, so check that "
        "--pkcs11-pin-env is given.",
    )


def check_key(module: IsolatedModule, token: Token, session: int, key: int, address: Address) -> None:
    """Raise PrerequisiteError when the key is out of its dates or may not sign, or the token lacks the mechanism to
    sign with it."""
    today = f"{datetime.now(UTC):%Y%m%d}"
    begin = _date(module.attribute(session, key, cryptoki.CKA_START_DATE))
    end = _date(module.attribute(session, key, cryptoki.CKA_END_DATE))
    if (begin and today < begin) or (end and end < today):
        raise PrerequisiteError(
            f"{address.key} is for use from {begin or 'ever'} to {end or 'ever'} (CKA_START_DATE, _END_DATE)",
            code="PKCS11_KEY_EXPIRED",
            remedy="Use a key pair whose dates hold, or have its dates changed on the token.",
        )
    kind = module.attribute(session, key, cryptoki.CKA_KEY_TYPE)
    is_rsa = kind is not None and int.from_bytes(kind, sys.byteorder) == cryptoki.CKK_RSA
    wanted, name = (cryptoki.CKM_RSA_PKCS, "CKM_RSA_PKCS") if is_rsa else (cryptoki.CKM_ECDSA, "CKM_ECDSA")
    if wanted not in module.mechanisms(token.slot):
        raise PrerequisiteError(
            f"token {token.label!r} does not offer {name}, which signing with {address.key} needs",
            code="PKCS11_REFUSED",
            remedy="Allow the mechanism in the token's policy, or use a token that has it.",
        )


def _date(value: bytes | None) -> str:
    """A CK_DATE as eight digits; empty when there is none."""
    return value.decode("ascii", "replace") if value and value.isdigit() and len(value) == 8 else ""
