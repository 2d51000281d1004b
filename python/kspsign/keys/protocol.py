"""What the engine asks of whoever holds the private key; the key itself never passes this line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from kspsign.errors import PrerequisiteError
from kspsign.model import DigestAlgorithm, RawSignature
from kspsign.settings import Settings


class KeyStore(Protocol):
    """An open key store with one key pair chosen. Only kspsign.errors classes leave its methods.

    `name` is the store's word in --key-store; `test_signing` is true when its keys are throw-away.
    """

    @property
    def name(self) -> str: ...

    @property
    def test_signing(self) -> bool: ...

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificates as DER, leaf first, root last if known; never costs a signature."""
        ...

    def key_reference(self) -> dict[str, str]:
        """The store's own address of the key, enough to reopen it given the secrets; never a secret."""
        ...

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest; COSTS ONE SIGNATURE where the store is paid for, also when the result is not used.

        The value is RSA PKCS#1 v1.5 (RFC 8017 §8.2) or ECDSA as DER (RFC 3279 §2.2.3). Raises SigningError.
        """
        ...

    def close(self) -> None:
        """End the session with the store; calling it again does nothing."""
        ...


class OpenableKeyStore(KeyStore, Protocol):
    """A kind of key store as the table of `kspsign.keys` holds it."""

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the store that `settings` describe; raises ConfigurationError or PrerequisiteError."""
        ...

    @classmethod
    def reopen(cls, reference: Mapping[str, str], settings: Settings) -> Self:
        """Open what a `key_reference()` tells, secrets from `settings`; raises PrerequisiteError."""
        ...


def reference_part(reference: Mapping[str, str], name: str) -> str:
    """One part of a stored key reference; raises PrerequisiteError when it is missing."""
    if name not in reference:
        raise PrerequisiteError(
            f"the stored key reference lacks {name!r}",
            code="KEY_REFERENCE",
            remedy="Run kspsign certsync again: it writes the reference anew.",
        )
    return reference[name]
