"""The key-store protocols: what the engine requires of a key store. The private key never crosses this interface.

A store subclasses `OpenStore` or `KeyStore` explicitly: what it does not need to answer has a default there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import SecretStr

from kspsign.keys.prerequisites import Prerequisite
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.report import RunWarning
from kspsign.model.values import DigestAlgorithm, RawSignature, SyncedCertificate

WRITTEN_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
"""The digest algorithms for signing; SHA-1 is only ever read."""


Notice = Callable[[str | RunWarning], object]
"""Shows people a line that needs no action, or a warning."""


def no_notice(_said: str | RunWarning) -> None:
    """The notice of a caller who shows none."""


def superseded_warning(remark: str) -> RunWarning:
    """The warning of a named certificate that a newer one of the same key supersedes."""
    return RunWarning(
        "CERTIFICATE_SUPERSEDED", remark, "Name the newer one, or the key alone: then the newest valid one signs."
    )


def notice_choice(notice: Notice, remarks: Iterable[str], *, superseded: bool) -> None:
    """Show what there is to say of the certificate that was chosen; a warning where a newer one supersedes it."""
    for remark in remarks:
        notice(superseded_warning(remark) if superseded else remark)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment of a key store, besides its own options.

    `cancelled` ends its waiting, with CancelledError. `notice` shows people a line that needs no action, or a warning.
    `store_folder` is the thumbprint store, `temp_folder` is None for the system's own. `jobs` is how many signatures
    are asked for at once, at most, and `attempts` how often a request is sent that is free to repeat. `environment`
    holds the variables that the options model names, `credentials` SM_* and the variables of --tool-env where the model
    asks for them, `agent_environment` what every outside program gets. `signtool` and `smctl` are programs that were
    named, `engine` is that of --engine.
    """

    cancelled: threading.Event
    store_folder: Path
    notice: Notice = no_notice
    temp_folder: Path | None = None
    jobs: int = 1
    attempts: int = 5
    environment: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    credentials: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    agent_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    signtool: Path | None = None
    smctl: Path | None = None
    engine: str = "auto"
    network: NetworkOptions = field(default_factory=NetworkOptions)


class Capabilities(NamedTuple):
    """The capabilities of the chosen key, known without spending a signature.

    `digests` are the digest algorithms that it signs, `concurrent` is how many signatures may be asked for at the
    same time (None: the store sets no limit). `costly` is false where the key is in this process's memory, so that a
    signature that is lost is simply made again. `fixed_certificate` is false where the service chooses certificate and
    new key for each signature: every signature then comes with its own chain. `batches` is true where the store makes
    one request of many that wait: more of them at once are no more load.
    """

    digests: frozenset[DigestAlgorithm] = WRITTEN_DIGESTS
    concurrent: int | None = None
    costly: bool = True
    fixed_certificate: bool = True
    batches: bool = False


class OpenStore(Protocol):
    """An open key store with one key pair and its certificate chosen. Only kspsign.errors classes leave its methods.

    `name` is the store's word in --key-store; `test_signing` is true when its keys are throw-away. `alias` is what the
    store calls the key pair, None where it has no name for it.
    """

    @property
    def name(self) -> str: ...

    @property
    def test_signing(self) -> bool: ...

    alias: str | None = None

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificates as DER, leaf first, root last if known; never costs a signature.

        Where the certificate is not fixed it is the one that the next signature would come with, asked for now.
        Raises PrerequisiteError when the service does not say.
        """
        ...

    def key_reference(self) -> dict[str, str]:
        """The store's own address of the key, enough to reopen it given the secrets; never a secret."""
        ...

    def close(self) -> None:
        """End the session with the store, if it has one; calling it again does nothing."""


class KeyStore(OpenStore, Protocol):
    """An open key store that signs digests for the native engine."""

    @property
    def capabilities(self) -> Capabilities:
        """Constant while the store is open; costs nothing."""
        ...

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest; COSTS ONE SIGNATURE where the store is paid for, also when the result is not used.

        The value is RSA PKCS#1 v1.5 (RFC 8017 §8.2) or ECDSA as DER (RFC 3279 §2.2.3). It is asked for once. The
        signature has its chain exactly where the capabilities say that the certificate is not fixed.

        Raises ThrottledError when the store is too busy (asking again is free), LostSignatureError when its answer
        was lost (asking again may cost), SigningError when it refuses.
        """
        ...


@runtime_checkable
class ResumableKeyStore(KeyStore, Protocol):
    """A key store whose service works on a signature after it took it on: once begun, it can be fetched any time.

    Whoever keeps the operation can be killed and loses nothing that was paid for.
    """

    def begin(self, digest: bytes, algorithm: DigestAlgorithm) -> str | RawSignature:
        """Ask for a signature of `digest`; COSTS ONE. Returns the operation that `finish` takes, never a secret, or
        the signature where there is nothing to wait for. Raises what `sign` does."""
        ...

    def finish(self, operation: str, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Wait for the signature that `begin` asked for, in this process or another; free.

        `operation` may come from a file that others can write. Raises OperationFailedError when there will be no
        signature, LostSignatureError when it can't be fetched now; CancelledError.
        """
        ...

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """See KeyStore."""
        begun = self.begin(digest, algorithm)
        return begun if isinstance(begun, RawSignature) else self.finish(begun, digest, algorithm)


@runtime_checkable
class ScanningKeyStore(KeyStore, Protocol):
    """A key store whose service may want to know which file it signs, to look for malware."""

    def announce(self, digest: bytes, file_sha256: bytes) -> None:
        """A signature of `digest` will be asked for; it is for the file whose whole content has this SHA-256. Free."""
        ...


class StoreKind(Protocol):
    """One kind of key store, closed: its class. `options` is always an instance of its own model."""

    def open(self, options: Any, surroundings: Surroundings) -> OpenStore:
        """Find the key and certificate that `options` name; costs no signature.

        Raises ConfigurationError when an option is missing or wrong, PrerequisiteError, CancelledError. What people
        should know of the choice goes to `surroundings.notice`.
        """
        ...

    def examine(self, options: Any, surroundings: Surroundings) -> Iterable[Prerequisite]:
        """Every prerequisite of signing with these options, as far as it can be found out cheaply.

        It signs nothing, costs nothing and changes nothing. Raises no error of ours: it yields them.
        """
        ...


class KeyStoreKind(StoreKind, Protocol):
    """One kind of key store that the native engine signs with."""

    def open(self, options: Any, surroundings: Surroundings) -> KeyStore:
        """See StoreKind."""
        ...

    def reopen(self, reference: Mapping[str, str], options: Any, surroundings: Surroundings) -> KeyStore:
        """Open what a `key_reference()` names, with the secrets in `options`; raises PrerequisiteError."""
        ...


class SigningKey(NamedTuple):
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


def unreadable_reference(name: str) -> PrerequisiteError:
    """The error for a part of a stored key reference that is not of its form."""
    return PrerequisiteError(
        f"{name!r} of the stored key reference can't be read",
        code="KEY_REFERENCE",
        remedy="Run kspsign certsync again: it writes a new reference.",
    )


def reference_part(reference: Mapping[str, str], name: str) -> str:
    """One part of a stored key reference; raises PrerequisiteError when it is missing."""
    if name not in reference:
        raise PrerequisiteError(
            f"the stored key reference lacks {name!r}",
            code="KEY_REFERENCE",
            remedy="Run kspsign certsync again: it writes a new reference.",
        )
    return reference[name]
