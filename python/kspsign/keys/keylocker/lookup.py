"""Finds the certificate and key pair in DigiCert ONE: by alias, id or thumbprint; the newest that can sign."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from pydantic import ValidationError

from kspsign.certificates.choice import newest_valid, superseded
from kspsign.certificates.parse import parse_certificate, thumbprint_of
from kspsign.certificates.validity import validity
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.errors import unusable
from kspsign.keys.keylocker.options import KeyLockerOptions
from kspsign.keys.keylocker.records import CertificateRecord, KeypairRecord, NamedRecord
from kspsign.model.errors import PrerequisiteError, TrustError
from kspsign.model.suggest import did_you_mean
from kspsign.model.values import iso_utc

PAGE = 100
MAX_PAGES = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """A readable certificate that belongs to a key pair."""

    record: CertificateRecord
    keypair: NamedRecord
    der: bytes
    parsed: x509.Certificate

    @property
    def thumbprint(self) -> str:
        return thumbprint_of(self.der)

    @property
    def fault(self) -> str | None:
        """Why it can't sign now, None when it can."""
        now = datetime.now(UTC)
        if self.record.withdrawn is not None:
            return self.record.withdrawn
        if now > self.parsed.not_valid_after_utc:
            return "expired"
        return "not yet valid" if now < self.parsed.not_valid_before_utc else None

    def __str__(self) -> str:
        alias = self.record.alias or self.record.id
        return f"{alias} ({self.thumbprint}, {self.fault or 'valid'}, until {iso_utc(self.parsed.not_valid_after_utc)})"


def find_certificate(client: KeyLockerClient, options: KeyLockerOptions) -> tuple[Listed, tuple[Listed, ...]]:
    """The certificate to sign with, and all that are of its key pair or of one of that name; costs no signature.

    --keypair-alias is the alias of a key pair, else of a certificate, else the id of either; without it
    --thumbprint decides. Of several key pairs with that alias, as a renewal leaves them, the one with the newest
    certificate is taken if they are the same publisher's. Raises PrerequisiteError when none is meant, key pairs of
    several publishers or accounts are, or none can sign.
    """
    listed = list_certificates(client, options)
    found = _meant(listed, options)
    wanted = options.keypair_alias or options.thumbprint or ""
    if not found:
        raise _other_certificate(listed, options) or _not_found(client, wanted, listed)
    able = tuple(candidate for candidate in found if candidate.fault is None)
    if len({candidate.keypair.id for candidate in able}) > 1 and len({_owner(candidate) for candidate in able}) > 1:
        raise PrerequisiteError(
            f"several key pairs are named {wanted}: "
            + "; ".join(f"{candidate.keypair.id} with certificate {candidate}" for candidate in able),
            code="ALIAS_AMBIGUOUS",
            remedy="Name the key pair's id with --keypair-alias, or its account with --account-id.",
        )
    chosen = newest_valid(able, datetime.now(UTC), lambda candidate: validity(candidate.parsed))
    if chosen is None:
        raise _none_valid(wanted, found, listed)
    return chosen, tuple(entry for entry in listed if entry.keypair.id == chosen.keypair.id or entry in found)


def _owner(candidate: Listed) -> tuple[str | None, x509.Name]:
    """The account and the publisher of a certificate."""
    account = candidate.record.account
    return None if account is None else account.id, candidate.parsed.subject


def older_than(chosen: Listed, siblings: Sequence[Listed]) -> tuple[str, ...]:
    """A remark on a certificate that was named although a usable newer one of its key pair is valid."""
    usable = [sibling.parsed for sibling in siblings if sibling.fault is None]
    name = f"key pair {chosen.keypair.alias or chosen.keypair.id}"
    return superseded(chosen.parsed, usable, datetime.now(UTC), name)


def read_certificate(client: KeyLockerClient, identifier: str) -> CertificateRecord:
    """One certificate with its chain. Raises PrerequisiteError, also when the service has withdrawn it."""
    asked = f"certificate {identifier}"
    answer = client.get(f"certificates/{identifier}", asked=asked)
    try:
        record = CertificateRecord.model_validate(answer)
    except ValidationError as invalid:
        raise _malformed(asked, invalid) from invalid
    if record.withdrawn is not None:
        raise _unable(f"certificate {record.alias or record.id} is {record.withdrawn}", record.withdrawn)
    return record


def read_keypair(client: KeyLockerClient, identifier: str) -> KeypairRecord:
    """One key pair. Raises PrerequisiteError."""
    asked = f"key pair {identifier}"
    answer = client.get(f"keypairs/{identifier}", asked=asked)
    try:
        return KeypairRecord.model_validate(answer)
    except ValidationError as invalid:
        raise _malformed(asked, invalid) from invalid


def decoded(text: str, asked: str) -> bytes:
    """Base64 as the service writes it. Raises PrerequisiteError."""
    try:
        return b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as broken:
        raise unusable(asked, "it holds data that is not base64") from broken


def list_certificates(client: KeyLockerClient, options: KeyLockerOptions) -> tuple[Listed, ...]:
    """Every readable certificate on a key pair; of the account that --account-id names. Raises PrerequisiteError."""
    return tuple(_listed(client, options))


def list_keypairs(client: KeyLockerClient, options: KeyLockerOptions) -> tuple[KeypairRecord, ...]:
    """Every key pair that the user may see; of the account that --account-id names. Raises PrerequisiteError."""
    found = []
    for item in _items(client, "keypairs"):
        try:
            pair = KeypairRecord.model_validate(item)
        except ValidationError as invalid:
            raise _malformed("the list of keypairs", invalid) from invalid
        if options.account_id in {None, (pair.account or {}).get("id")}:
            found.append(pair)
    return tuple(found)


def _listed(client: KeyLockerClient, options: KeyLockerOptions) -> Iterator[Listed]:
    for item in _items(client, "certificates"):
        try:
            record = CertificateRecord.model_validate(item)
            der = decoded(record.cert, "the certificates")
            parsed = parse_certificate(der)
        except (ValidationError, PrerequisiteError, TrustError):
            continue  # a damaged certificate of a stranger is passed over
        elsewhere = options.account_id is not None and record.account and record.account.id != options.account_id
        if record.keypair is not None and not elsewhere:
            yield Listed(record, record.keypair, der, parsed)


def _items(client: KeyLockerClient, what: str) -> Iterator[Any]:
    """The items of all pages of a list."""
    offset = 0
    for _ in range(MAX_PAGES):
        asked = f"the list of {what}"
        page = client.get(what, {"limit": str(PAGE), "offset": str(offset)}, asked=asked)
        items, total = page.get("items"), page.get("total")
        if not isinstance(items, list):
            raise unusable(asked, "it has no items")
        yield from items
        offset += len(items)
        if not items or not isinstance(total, int) or offset >= total:
            return


def _meant(listed: Sequence[Listed], options: KeyLockerOptions) -> tuple[Listed, ...]:
    name, thumbprint = options.keypair_alias, options.thumbprint
    among = tuple(candidate for candidate in listed if thumbprint in {None, candidate.thumbprint})
    if name is None:
        return among
    by = (
        [candidate for candidate in among if candidate.keypair.alias == name],
        [candidate for candidate in among if candidate.record.alias == name],
        [candidate for candidate in among if candidate.keypair.id.lower() == name.lower()],
        [candidate for candidate in among if candidate.record.id.lower() == name.lower()],
    )
    return tuple(next((found for found in by if found), ()))


def _other_certificate(listed: Sequence[Listed], options: KeyLockerOptions) -> PrerequisiteError | None:
    """The error for a key pair that is there, without the certificate of --thumbprint; None when it is not there."""
    if options.keypair_alias is None or options.thumbprint is None:
        return None
    found = _meant(listed, options.model_copy(update={"thumbprint": None}))
    if not found:
        return None
    return PrerequisiteError(
        f"key pair {options.keypair_alias} has no certificate {options.thumbprint}; it has "
        f"{'; '.join(map(str, found))}",
        code="WRONG_THUMBPRINT",
        remedy="Name the key pair that the certificate was issued for, or take the certificate of this key pair.",
    )


def _not_found(client: KeyLockerClient, wanted: str, listed: Sequence[Listed]) -> PrerequisiteError:
    bare = {name for item in _items(client, "keypairs") if isinstance(item, dict) for name in _names_of(item)}
    if wanted in bare and all(wanted not in {candidate.keypair.alias, candidate.keypair.id} for candidate in listed):
        return PrerequisiteError(
            f"key pair {wanted} has no certificate",
            code="KEYPAIR_WITHOUT_CERTIFICATE",
            remedy="Have a code-signing certificate issued for it in DigiCert ONE, or name another key pair.",
        )
    names = bare | {
        name
        for candidate in listed
        for name in (candidate.record.alias, candidate.keypair.alias, candidate.thumbprint)
        if name
    }
    hint = did_you_mean(wanted, names, most=3)
    hint += "Aliases are case-sensitive. " if hint else ""
    shown = (
        "; ".join(f"{candidate.keypair.alias or candidate.keypair.id}: {candidate}" for candidate in listed) or "none"
    )
    return PrerequisiteError(
        f"no key pair or certificate that this user may see is named {wanted}; available: {shown}",
        code="ALIAS_NOT_FOUND",
        remedy=f"{hint}Give the alias or id of the key pair or of its certificate; check SM_HOST and the account.",
    )


def _names_of(item: dict[str, Any]) -> Iterator[str]:
    for field in ("alias", "id"):
        if isinstance(value := item.get(field), str) and value:
            yield value


def _none_valid(wanted: str, found: Sequence[Listed], listed: Sequence[Listed]) -> PrerequisiteError:
    why = " ".join(candidate.fault or "" for candidate in found)
    subjects = {candidate.parsed.subject for candidate in found}
    renewed = [entry for entry in listed if entry.fault is None and entry.parsed.subject in subjects]
    names = sorted({entry.keypair.alias or entry.keypair.id for entry in renewed})
    hint = f"Another key pair has a valid certificate of the same subject: {', '.join(names)}. " if names else ""
    return _unable(f"no certificate of {wanted} can sign now: {'; '.join(map(str, found))}", why, hint)


def _unable(message: str, why: str, hint: str = "") -> PrerequisiteError:
    return PrerequisiteError(
        message,
        code="CERTIFICATE_REVOKED" if "revok" in why else "CERTIFICATE_NOT_VALID",
        remedy=f"{hint}{'Name it with --keypair-alias, or have' if hint else 'Have'} the certificate issued again or "
        "renewed in DigiCert ONE, then run certsync again.",
    )


def _malformed(asked: str, invalid: ValidationError) -> PrerequisiteError:
    first = invalid.errors(include_url=False, include_input=False)[0]
    return unusable(asked, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
