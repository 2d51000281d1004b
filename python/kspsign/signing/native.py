"""The native engine: format, digest, raw signature, timestamp, signed copy. Only digests go to the key store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kspsign.authenticode.cms.file_signature import read_signature
from kspsign.authenticode.cms.profile import SigningTerms
from kspsign.authenticode.cms.write import Unsigned, add_nested, assemble
from kspsign.authenticode.signable import CopyingFile, Digest, SignableFile
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.keys import check_digest, reopen_key_store
from kspsign.model.values import Limits, RawSignature, SyncedCertificate, TimestampToken
from kspsign.network.limiter import Limiter
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.signing.budget import Budget
from kspsign.signing.clock import Clock
from kspsign.signing.copies import LockedTarget, SignedCopy, preallocate
from kspsign.signing.journal import Journal
from kspsign.signing.plan import prepared, signing_terms
from kspsign.signing.shared_state import LOCAL_SLOTS, SharedState
from kspsign.signing.source import SignatureSource
from kspsign.signing.waits import Waits

if TYPE_CHECKING:
    from kspsign.timestamping.client import TimestampClient
    from kspsign.timestamping.server import RemoteAuthority

_SIGNATURE_ROOM = 64 << 10
TOKENS_KEPT = 256
"""Timestamps remembered for further files with the same content."""


class NativeEngine:
    """Signs with what `source` obtains; safe to share between threads."""

    name = "native"
    tool = None

    def __init__(
        self, source: SignatureSource, timestamps: TimestampClient | None, terms: SigningTerms, shared: SharedState
    ) -> None:
        self._source, self._timestamps, self._terms = source, timestamps, terms
        self._desks, self._targets = shared.slots, shared.targets
        self._tokens: SingleFlight[TimestampToken] = SingleFlight(keep=TOKENS_KEPT, retry=True)

    @property
    def concurrency(self) -> int:
        """Enough to have every service busy to its ceiling while others are worked on here."""
        stamping = max((server.limiter.ceiling for server in self._servers), default=0)
        return self._source.limiter.ceiling + stamping + LOCAL_SLOTS

    @property
    def signatures_used(self) -> int:
        """What the budget counted."""
        return self._source.budget.spent

    @property
    def limits(self) -> Limits:
        """Of the key store and each timestamp server."""
        return Limits(self._source.limiter.facts, self._timestamps.facts if self._timestamps else ())

    @property
    def waits(self) -> Waits:
        """In flight and waiting for a turn."""
        return Waits(self._source.limiter.pending, sum(server.limiter.pending for server in self._servers))

    def admit(self, file: SignableFile) -> None:
        """What the format says to the terms of this run."""
        file.admit(self._terms)

    def sign(self, held: LockedTarget, file: SignableFile) -> SignedCopy:
        """Write a signed copy beside the target. Costs one signature of the key store at most; see Engine."""
        terms, clock = self._terms, Clock()
        file.admit(terms)
        unsigned, digest = self._digested(held, file)
        clock.lap("digest")
        with self._desks.away():
            signature = self._source.obtain(unsigned.digest, terms.algorithm)
            clock.lap("sign")
            token = self._stamp(signature)
            clock.lap("timestamp")
        message = assemble(unsigned, signature.value, terms.chain, token=token.der if token else None)
        copy = held.create_copy()
        with copy.open("r+b") as target:
            file.embed(digest, _with(message, file) if terms.append else (message,), target)
        clock.lap("embed")
        return SignedCopy(held.artifact, copy, digest, clock.seconds, unsigned.digest, token.server if token else None)

    def embedded(self, copy: SignedCopy) -> None:
        """The journal forgets the signature."""
        self._source.embedded(copy.signed_digest, self._terms.algorithm)

    def kept(self, file: SignableFile) -> None:
        """The journal forgets the signatures that the file has."""
        journal = self._source.journal
        if journal is not None and journal.inherited:
            for der in file.signatures:
                journal.served(read_signature(der, file.profile).message.signer.value)

    def remarks(self) -> tuple[str, ...]:
        """Whether the journal could be kept."""
        fault = self._source.journal.fault if self._source.journal else None
        if fault is None:
            return ()
        return (f"signatures could not be kept for another run, the journal can't be written: {fault}",)

    def transcripts(self) -> Iterator[str]:
        """Nothing: no outside program is called."""
        return iter(())

    @property
    def _servers(self) -> tuple[RemoteAuthority, ...]:
        return self._timestamps.servers if self._timestamps else ()

    def _digested(self, held: LockedTarget, file: SignableFile) -> tuple[Unsigned, Digest]:
        if not isinstance(file, CopyingFile) or not self._targets.may_copy_while_hashing(held):
            return prepared(file, self._terms, file.digest)
        with held.create_copy().open("r+b") as copy:
            preallocate(copy, held.state.st_size + _SIGNATURE_ROOM)
            return prepared(file, self._terms, partial(file.digest_copying, copy=copy))

    def _stamp(self, signature: RawSignature) -> TimestampToken | None:
        client = self._timestamps
        if client is None:
            return None
        return self._tokens.get(signature.value, lambda: client.stamp(signature.value, signature.algorithm))


def _with(message: bytes, file: SignableFile) -> tuple[bytes, ...]:
    """The signatures of `file` and a further one."""
    if not file.signatures or not file.profile.nests:
        return (*file.signatures, message)
    first, *others = file.signatures
    return (add_nested(first, message), *others)


@contextlib.contextmanager
def open_native(settings: Settings, certificate: SyncedCertificate, shared: SharedState) -> Iterator[NativeEngine]:
    """The native engine for these settings; its key store, connections and journal are closed at the end.

    The embedded key store brings its own timestamp server on loopback, unless other servers are named.
    """
    cancelled = shared.cancelled
    with contextlib.ExitStack() as resources:
        key = reopen_key_store(settings, certificate, cancelled)
        resources.callback(key.close)
        terms = signing_terms(settings, certificate.chain)
        check_digest(key, terms.algorithm)
        timestamps: TimestampClient | None = None
        if not settings.no_timestamp:
            urls = settings.timestamp_url or _default_urls(certificate, resources)
            own = not settings.timestamp_url and certificate.key_store == "embedded"
            network = settings.network.direct() if own else settings.network
            from kspsign.timestamping.client import TimestampClient  # noqa: PLC0415 - it brings HTTP

            timestamps = TimestampClient(urls, settings.timestamp_jobs, cancelled, network)
            resources.callback(timestamps.close)
        journal: Journal | None = None
        if key.capabilities.costly:
            journal = resources.enter_context(Journal(settings.journal_folder, certificate.thumbprint))
        limiter = Limiter(min(settings.jobs, key.capabilities.concurrent or settings.jobs), cancelled)
        source = SignatureSource(key, certificate, limiter, Budget(settings.max_signatures), shared.breaker, journal)
        yield NativeEngine(source, timestamps, terms, shared)


def _default_urls(certificate: SyncedCertificate, resources: contextlib.ExitStack) -> tuple[str, ...]:
    if certificate.key_store != "embedded":
        return DEFAULT_TIMESTAMP_URLS
    from kspsign.embedded.authority import load_authority  # noqa: PLC0415 - needed only here
    from kspsign.embedded.timestamp_server import TimestampServer  # noqa: PLC0415

    authority = load_authority(Path(certificate.key_reference["folder"]))
    return (resources.enter_context(TimestampServer(authority)).url,)
