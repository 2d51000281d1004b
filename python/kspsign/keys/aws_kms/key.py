"""What AWS KMS says of a key, and whether it can sign as Authenticode needs it; nothing is signed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kspsign.keys.aws_kms.errors import ERRORS
from kspsign.keys.protocol import WRITTEN_DIGESTS
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import DigestAlgorithm, iso_utc

_SIGN: Final = "SIGN_VERIFY"
_CURVES: Final = {
    "ECC_NIST_P256": DigestAlgorithm.SHA256,
    "ECC_NIST_P384": DigestAlgorithm.SHA384,
    "ECC_NIST_P521": DigestAlgorithm.SHA512,
}
"""The only digest that the service signs with each curve."""
_RSA: Final = frozenset({"RSA_2048", "RSA_3072", "RSA_4096"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The answer to GetPublicKey: the key's ARN, its SubjectPublicKeyInfo (DER), and how it can be used."""

    arn: str
    der: bytes
    spec: str
    usage: str
    algorithms: frozenset[str]

    @property
    def digests(self) -> frozenset[DigestAlgorithm]:
        """What the key signs."""
        able = WRITTEN_DIGESTS if self.spec in _RSA else frozenset({_CURVES[self.spec]} & WRITTEN_DIGESTS)
        return frozenset(digest for digest in able if self.algorithm(digest) in self.algorithms)

    def algorithm(self, digest: DigestAlgorithm) -> str:
        """The service's name for a signature over this kind of digest."""
        family = "RSASSA_PKCS1_V1_5" if self.spec in _RSA else "ECDSA"
        return f"{family}_SHA_{digest.removeprefix('sha')}"


@dataclass(frozen=True, slots=True)
class KeyState:
    """The answer to DescribeKey; `valid_to` is when imported key material expires, `deleted` when the key is."""

    enabled: bool
    state: str
    manager: str
    origin: str
    valid_to: datetime | None
    deleted: datetime | None


def read_public_key(answer: Mapping[str, Any], asked: str) -> PublicKey:
    """Raises PrerequisiteError for an answer that is not the service's, and for a key that can't sign code."""
    arn, spec = answer.get("KeyId"), answer.get("KeySpec") or answer.get("CustomerMasterKeySpec")
    usage, algorithms = answer.get("KeyUsage"), answer.get("SigningAlgorithms") or []
    try:
        der = base64.b64decode(str(answer.get("PublicKey", "")), validate=True)
        load_der_public_key(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as broken:
        raise ERRORS.unusable(asked, "it holds no public key in base64") from broken
    if not (isinstance(arn, str) and isinstance(spec, str) and isinstance(algorithms, list)):
        raise ERRORS.unusable(asked, "it does not describe a public key")
    key = PublicKey(arn, der, spec, str(usage), frozenset(map(str, algorithms)))
    if spec not in _RSA | _CURVES.keys() or usage != _SIGN or not key.digests:
        raise PrerequisiteError(
            f"the KMS key {arn} ({spec}, {usage}) can't sign code",
            code="AWS_KMS_USAGE",
            remedy=f"Name an asymmetric key with usage {_SIGN} and spec {', '.join(sorted(_RSA))} or "
            f"{', '.join(sorted(_CURVES))}.",
        )
    return key


def read_state(answer: Mapping[str, Any], asked: str) -> KeyState:
    """Raises PrerequisiteError for an answer that is not the service's."""
    found = answer.get("KeyMetadata")
    if not isinstance(found, dict) or not isinstance(found.get("KeyState"), str):
        raise ERRORS.unusable(asked, "it does not describe a key")
    return KeyState(
        found.get("Enabled") is True,
        found["KeyState"],
        str(found.get("KeyManager", "")),
        str(found.get("Origin", "")),
        _moment(found.get("ValidTo")),
        _moment(found.get("DeletionDate")),
    )


def check_state(key: PublicKey, state: KeyState) -> None:
    """Raise PrerequisiteError when the service would refuse to sign in this state."""
    if state.enabled and state.state == "Enabled":
        return
    what, code, remedy = {
        "Disabled": ("is disabled", "AWS_KMS_DISABLED", "Enable the key in AWS KMS, or name another key."),
        "PendingDeletion": (
            "is about to be deleted" + (f" on {iso_utc(state.deleted)}" if state.deleted else ""),
            "AWS_KMS_STATE",
            "Cancel the deletion in AWS KMS and enable the key again, or name another key.",
        ),
        "PendingImport": (
            "has no key material: it was never imported, was deleted, or has expired",
            "AWS_KMS_STATE",
            "Import the same key material again, or name another key.",
        ),
        "Unavailable": (
            "is not available: its custom key store (CloudHSM or external) is not connected",
            "AWS_KMS_STATE",
            "Connect the custom key store in AWS KMS.",
        ),
    }.get(
        state.state,
        (f"is in state {state.state}", "AWS_KMS_STATE", "Wait until the key is Enabled, or name another key."),
    )
    raise PrerequisiteError(f"the KMS key {key.arn} {what}", code=code, remedy=remedy)


def _moment(value: object) -> datetime | None:
    """Seconds since 1970, as the service's JSON has them."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
        return datetime.fromtimestamp(value, UTC)
    return None
