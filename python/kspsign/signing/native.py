"""The native engine: format, digest, raw signature, timestamp, signed copy. Only digests go to the key store."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from kspsign.authenticode import cms
from kspsign.authenticode.algorithms import signature_holds
from kspsign.authenticode.certificates import certificate as parsed
from kspsign.authenticode.certificates import subject_of
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import SignableFile
from kspsign.authenticode.timestamp_client import TimestampClient
from kspsign.errors import LostSignatureError, SigningError
from kspsign.keys import KeyStore, check_digest, reopen_key_store
from kspsign.model import (
    Artifact,
    DigestAlgorithm,
    RawSignature,
    SignedCopy,
    SyncedCertificate,
    TimestampToken,
)
from kspsign.settings import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.signing.asking import ask_for_signature
from kspsign.signing.clock import Clock


class NativeEngine:
    """Signs with `key` in the name of `certificate`; safe to share between threads."""

    name = "native"
    tool = None

    def __init__(
        self,
        key: KeyStore,
        certificate: SyncedCertificate,
        timestamps: TimestampClient | None,
        terms: SigningTerms,
        concurrency: int,
        pause: Callable[[float], bool],
    ) -> None:
        self.concurrency = concurrency
        self._pause = pause
        self._key = key
        self._certificate = certificate
        self._public_key = parsed(certificate.chain[0]).public_key()
        self._timestamps = timestamps
        self._terms = terms
        self._count_lock = threading.Lock()
        self.signatures_used = 0

    def sign(self, artifact: Artifact, copy: Path) -> SignedCopy:
        """Write a signed copy of `artifact` to `copy`. Costs one signature of the key store.

        Raises ArtifactError before a signature is spent when the file can't be signed, SigningError when the key
        store refuses or its signature does not fit the certificate, TimestampError when no server answers.
        """
        terms, clock = self._terms, Clock()
        file = open_signable(artifact.path, artifact.format)
        file.admit(terms)
        digest = file.digest([terms.algorithm], [terms.algorithm] if terms.page_hashes else [])
        unsigned = cms.prepare(file.profile, terms, file.content(terms, digest))
        clock.lap("digest")
        signature = self._sign_digest(unsigned.digest)
        clock.lap("sign")
        token = self._stamp(signature)
        clock.lap("timestamp")
        message = cms.assemble(unsigned, signature.value, terms.chain, token=token.der if token else None)
        file.embed(digest, _with(message, file) if terms.append else (message,), copy)
        clock.lap("embed")
        return SignedCopy(artifact, copy, digest.sha256, clock.seconds)

    def transcripts(self) -> Iterator[str]:
        """Nothing: no outside program is called."""
        return iter(())

    def _sign_digest(self, digest: bytes) -> RawSignature:
        try:
            signature = ask_for_signature(self._key, digest, self._terms.algorithm, self._pause)
        except LostSignatureError:
            self._count()
            raise
        self._count()
        if not signature_holds(self._public_key, signature.value, digest, signature.algorithm, None):
            subject = subject_of(self._certificate.chain[0])
            raise SigningError(
                f"the key in the key store {self._key.name} does not fit the certificate "
                f"{self._certificate.thumbprint} ({subject})",
                code="KEY_MISMATCH",
                remedy="Run certsync again; check that the certificate was issued for this key pair alias.",
            )
        return signature

    def _count(self) -> None:
        with self._count_lock:
            self.signatures_used += 1

    def _stamp(self, signature: RawSignature) -> TimestampToken | None:
        if self._timestamps is None:
            return None
        return self._timestamps.stamp(signature.value, signature.algorithm)


def _with(message: bytes, file: SignableFile) -> tuple[bytes, ...]:
    """The signatures of `file` and a further one."""
    if not file.signatures or not file.profile.nests:
        return (*file.signatures, message)
    first, *others = file.signatures
    return (cms.add_nested(first, message), *others)


@contextlib.contextmanager
def open_native(
    settings: Settings, certificate: SyncedCertificate, cancelled: threading.Event
) -> Iterator[NativeEngine]:
    """The native engine for these settings; its key store and connections are closed at the end.

    `cancelled` ends pauses between tries early.

    The embedded key store brings its own timestamp server on loopback, unless other servers are named.
    """
    with contextlib.ExitStack() as resources:
        key = reopen_key_store(settings, certificate, cancelled)
        resources.callback(key.close)
        algorithm = DigestAlgorithm(settings.digest)
        check_digest(key, algorithm)
        timestamps: TimestampClient | None = None
        if not settings.no_timestamp:
            urls = settings.timestamp_url or _default_urls(certificate, resources)
            timestamps = TimestampClient(urls, pause=cancelled.wait)
            resources.callback(timestamps.close)
        terms = SigningTerms(
            algorithm,
            certificate.chain,
            append=settings.append,
            page_hashes=settings.page_hashes,
            description=settings.description,
            description_url=settings.description_url,
        )
        concurrency = min(settings.jobs, key.capabilities.concurrent or settings.jobs)
        yield NativeEngine(key, certificate, timestamps, terms, concurrency, cancelled.wait)


def _default_urls(certificate: SyncedCertificate, resources: contextlib.ExitStack) -> tuple[str, ...]:
    if certificate.key_store != "embedded":
        return DEFAULT_TIMESTAMP_URLS
    from kspsign.embedded.authority import load_authority  # noqa: PLC0415 - needed only here
    from kspsign.embedded.timestamp_server import TimestampServer  # noqa: PLC0415

    authority = load_authority(Path(certificate.key_reference["folder"]))
    return (resources.enter_context(TimestampServer(authority)).url,)
