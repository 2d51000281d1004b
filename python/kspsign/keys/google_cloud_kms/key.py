"""What Google Cloud KMS says of a key version, and whether it can sign as Authenticode needs it; nothing is signed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from kspsign.keys.google_cloud_kms.crc32c import crc32c
from kspsign.keys.google_cloud_kms.errors import ERRORS
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import DigestAlgorithm

ENABLED: Final = "ENABLED"
_ALGORITHM: Final = re.compile(r"(?:RSA_SIGN_PKCS1_(?:2048|3072|4096)|EC_SIGN_P(?:256|384))_SHA(256|384|512)")
_WORDS: Final = {
    "DISABLED": ("is disabled", "Enable the version in Google Cloud, or name another one in --kms-key."),
    "DESTROYED": ("is destroyed", "Name another version in --kms-key, with a certificate for its key."),
    "DESTROY_SCHEDULED": ("is about to be destroyed", "Restore and enable the version in Google Cloud."),
    "PENDING_GENERATION": ("is still being made", "Wait until the version is ENABLED."),
    "PENDING_IMPORT": ("is still being imported", "Wait until the version is ENABLED."),
}


@dataclass(frozen=True, slots=True)
class VersionKey:
    """The answer to publicKey: the version's resource name, its SubjectPublicKeyInfo (DER), algorithm and level."""

    name: str
    der: bytes
    algorithm: str
    protection: str

    @property
    def digest(self) -> DigestAlgorithm:
        """The only one that the version signs."""
        return DigestAlgorithm(f"sha{self.algorithm.rpartition('SHA')[2]}")


def read_public_key(answer: Mapping[str, Any], name: str, asked: str) -> VersionKey:
    """Raises PrerequisiteError for an answer that is not the service's, and for a key that can't sign code."""
    pem, algorithm = answer.get("pem"), answer.get("algorithm")
    if not isinstance(pem, str) or not isinstance(algorithm, str):
        raise ERRORS.unusable(asked, "it does not describe a public key")
    if answer.get("name") != name or str(answer.get("pemCrc32c")) != str(crc32c(pem.encode())):
        raise ERRORS.unusable(asked, "its name or checksum is another one")
    if not _ALGORITHM.fullmatch(algorithm):
        raise PrerequisiteError(
            f"key version {name} ({algorithm}) can't sign code",
            code="GOOGLE_KMS_USAGE",
            remedy="Name a key with purpose ASYMMETRIC_SIGN and algorithm RSA_SIGN_PKCS1_..._SHA256 or ..._SHA512, "
            "EC_SIGN_P256_SHA256 or EC_SIGN_P384_SHA384; Authenticode has no RSA-PSS.",
        )
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as broken:
        raise ERRORS.unusable(asked, "it holds no public key") from broken
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VersionKey(name, der, algorithm, str(answer.get("protectionLevel", "")))


def check_state(name: str, state: str) -> None:
    """Raise PrerequisiteError when the service would refuse to sign in this state."""
    if state == ENABLED:
        return
    what, remedy = _WORDS.get(state, (f"is in state {state}", "Name a version that is ENABLED in --kms-key."))
    raise PrerequisiteError(f"key version {name} {what}", code="GOOGLE_KMS_STATE", remedy=remedy)
