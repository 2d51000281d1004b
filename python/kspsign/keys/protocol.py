"""What the engine asks of whoever holds the private key; the key itself never passes this line."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature, SyncedCertificate
from kspsign.settings.model import Settings

WRITTEN_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
"""What is signed at all; SHA-1 is only ever read."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the chosen key can do, known without spending a signature.

    `digests` are the digest algorithms that it signs, `concurrent` is how many signatures may be asked for at the
    same time (None: the store sets no limit). `costly` is false where the key is in this process's memory, so that a
    signature that is lost is simply made again. `fixed_certificate` is false where the service chooses certificate and
    key anew for each signature: every signature then comes with its own chain.
    """

    digests: frozenset[DigestAlgorithm] = WRITTEN_DIGESTS
    concurrent: int | None = None
    costly: bool = True
    fixed_certificate: bool = True


class KeyStore(Protocol):
    """An open key store with one key pair chosen. Only kspsign.errors classes leave its methods.

    `name` is the store's word in --key-store; `test_signing` is true when its keys are throw-away.
    """

    @property
    def name(self) -> str: ...

    @property
    def test_signing(self) -> bool: ...

    @property
    def capabilities(self) -> Capabilities:
        """Constant while the store is open; costs nothing."""
        ...

    def remarks(self) -> tuple[str, ...]:
        """What people should know of the choice that was made, for certsync to say; each is a line."""
        ...

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificates as DER, leaf first, root last if known; never costs a signature.

        Where the certificate is not fixed it is the one that the next signature would come with, asked for now.
        Raises PrerequisiteError when the service does not say.
        """
        ...

    def key_reference(self) -> dict[str, str]:
        """The store's own address of the key, enough to reopen it given the secrets; never a secret."""
        ...

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest; COSTS ONE SIGNATURE where the store is paid for, also when the result is not used.

        The value is RSA PKCS#1 v1.5 (RFC 8017 §8.2) or ECDSA as DER (RFC 3279 §2.2.3). It is asked for once. The
        signature has its chain exactly where the capabilities say that the certificate is not fixed.

        Raises ThrottledError when the store is too busy (asking again is free), LostSignatureError when its answer
        was lost (asking again may cost), SigningError when it refuses.
        """
        ...

    def close(self) -> None:
        """End the session with the store; calling it again does nothing."""
        ...


class OpenableKeyStore(KeyStore, Protocol):
    """A kind of key store as the table of `kspsign.keys` holds it."""

    @classmethod
    def open(cls, settings: Settings, cancelled: threading.Event) -> Self:
        """Open the store that `settings` describe; raises ConfigurationError or PrerequisiteError.

        `cancelled` ends waiting, now and when signing, with CancelledError.
        """
        ...

    @classmethod
    def reopen(cls, reference: Mapping[str, str], settings: Settings, cancelled: threading.Event) -> Self:
        """Open what a `key_reference()` tells, secrets from `settings`; raises PrerequisiteError."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A synchronised certificate with the open key store that holds its key.

    `store` is None where a program of others reaches the key, and where nothing is to be signed.
    """

    certificate: SyncedCertificate
    store: KeyStore | None = None


def check_digest(key_store: KeyStore, algorithm: DigestAlgorithm) -> None:
    """Raise ConfigurationError when the key can't sign an `algorithm` digest, before a signature is spent on it."""
    able = key_store.capabilities.digests
    if algorithm not in able:
        raise ConfigurationError(
            f"the key in key store {key_store.name} does not sign {algorithm} digests",
            code="DIGEST_NOT_SUPPORTED",
            remedy=f"Set --digest to {' or '.join(sorted(able))}, or use a key that can.",
        )


def reference_part(reference: Mapping[str, str], name: str) -> str:
    """One part of a stored key reference; raises PrerequisiteError when it is missing."""
    if name not in reference:
        raise PrerequisiteError(
            f"the stored key reference lacks {name!r}",
            code="KEY_REFERENCE",
            remedy="Run kspsign certsync again: it writes the reference anew.",
        )
    return reference[name]
