"""The native engine: format, digest, raw signature, timestamp, signed copy. Only digests go to the key store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from kspsign.authenticode.formats import NAMING_CERTIFICATE, open_signable
from kspsign.authenticode.profile import FileSignature, PairedSignature, PairedValue, PreparedSignature, SigningTerms
from kspsign.authenticode.signable import BundledFiles, CopyingFile, Digest, SignableFile
from kspsign.certificates.parse import thumbprint_of
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.model.errors import TimestampError
from kspsign.model.report import RunWarning
from kspsign.model.signing_facts import Limits
from kspsign.model.values import DigestAlgorithm, RawSignature, TimestampToken
from kspsign.signing.clock import StepClock
from kspsign.signing.copies import LockedTarget, SignedCopy, preallocate
from kspsign.signing.hooks import Hooks
from kspsign.signing.lost_answers import lost_warnings
from kspsign.signing.plan import unsigned
from kspsign.signing.shared_state import LOCAL_SLOTS, SharedState
from kspsign.signing.source import SignatureSource
from kspsign.signing.waits import Waits

if TYPE_CHECKING:
    from kspsign.signing.preflight import Preflight
    from kspsign.timestamping.client import TimestampClient
    from kspsign.timestamping.server import RemoteAuthority

_SIGNATURE_ROOM = 64 << 10
TOKENS_KEPT = 256
"""Timestamps remembered for further files with the same content."""


class _SignedDigest(NamedTuple):
    """A signature with the attributes that it signs, and the chain that it goes into the file with."""

    unsigned: PreparedSignature
    signature: RawSignature
    chain: tuple[bytes, ...]
    companion: tuple[bytes, RawSignature] | None = None
    """Of a PairedSignature: its second digest, and the signature of that."""

    @property
    def further_digests(self) -> tuple[bytes, ...]:
        """What the key store signed in addition."""
        return () if self.companion is None else (self.companion[0],)


class DetachedSignature(NamedTuple):
    """A signature without its file: the chain that belongs to it (DER, leaf first), and its timestamp."""

    signature: RawSignature
    chain: tuple[bytes, ...]
    token: TimestampToken | None


class NativeEngine:
    """Signs with what `source` obtains; safe to share between threads."""

    name = "native"

    def __init__(
        self,
        source: SignatureSource,
        timestamps: TimestampClient | None,
        preflight: Preflight | None,
        terms: SigningTerms,
        shared: SharedState,
        timestamp_digest: DigestAlgorithm,
    ) -> None:
        self._source, self._timestamps, self._preflight, self._terms = source, timestamps, preflight, terms
        self._timestamp_digest = timestamp_digest
        self._slots, self._targets = shared.slots, shared.targets
        self._tokens: SingleFlight[TimestampToken] = SingleFlight(keep=TOKENS_KEPT, retry=True)
        self._named: SingleFlight[_SignedDigest] = SingleFlight()
        self.hooks = Hooks(
            admit=self._admit,
            on_committed=self._forget_embedded,
            on_already_signed=self._forget_found,
            notices=self._notices,
            warnings=self._warnings,
        )

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

    def sign(self, held: LockedTarget, file: SignableFile) -> SignedCopy:
        """Write a signed copy next to the target. Costs at most one signature of the key store; see Engine."""
        if isinstance(file, BundledFiles) and file.unsigned_inner():
            return self._sign_inside_out(held, file)
        terms, clock = self._terms, StepClock()
        digest = self._read_digest(held, file)
        to_sign = unsigned(file, terms, digest)
        self._source.announce(to_sign.digest, digest.sha256, held.artifact.name)
        clock.lap("digest")
        with self._slots.released(), self._turn():
            if held.artifact.format in NAMING_CERTIFICATE:
                signed = self._named.get(to_sign.digest, lambda: self._signed_by_name(file, digest, held.artifact.name))
            else:
                signature = self._source.get(to_sign.digest, terms.algorithm)
                signed = _SignedDigest(to_sign, signature, signature.chain or terms.chain)
            clock.lap("sign")
            token = self._stamp(signed.signature)
            clock.lap("timestamp")
        made = signed.unsigned.assemble(signed.signature.value, signed.chain, token=token.der if token else None)
        signatures = file.profile.append(file.signatures, made) if terms.append else (made,)
        copy = held.create_copy()
        with copy.open("r+b") as target:
            file.embed(digest, signatures, target)
        clock.lap("embed")
        return SignedCopy(
            held.artifact,
            copy,
            digest,
            clock.seconds,
            signed.unsigned.digest,
            token.server if token else None,
            thumbprint_of(signed.chain[0]),
            signed.further_digests,
            _request_ids(signed),
        )

    @property
    def leaf(self) -> bytes:
        """The certificate (DER) that certsync found."""
        return self._terms.chain[0]

    def sign_digest(self, digest: bytes, algorithm: DigestAlgorithm, file_sha256: str, file: str) -> DetachedSignature:
        """The signature of a digest that was taken elsewhere, of `file` with this SHA-256 (hex); see Engine.sign."""
        self._source.announce(digest, file_sha256, file)
        with self._slots.released(), self._turn():
            signature = self._source.get(digest, algorithm)
            return DetachedSignature(signature, signature.chain or self._terms.chain, self._stamp(signature))

    def sign_statement(self, digest: bytes, algorithm: DigestAlgorithm, file: str) -> DetachedSignature:
        """The signature of the digest of a statement on the run's files, to be written to `file`: the one that the
        budget kept back."""
        self._source.budget.release()
        try:
            with self._slots:
                return self.sign_digest(digest, algorithm, "", file)
        except TimestampError as failed:
            self.on_given_up(digest, algorithm, failed.code)
            raise

    def on_written(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        """The signature of `digest` is in a document: the journal need not keep it any more."""
        self._source.embedded(digest, algorithm)

    def on_given_up(self, digest: bytes, algorithm: DigestAlgorithm, reason: str) -> None:
        """The signature of `digest`, of a statement that no other run makes again, was obtained in vain."""
        self._source.discarded(digest, algorithm, reason)

    def _sign_inside_out(self, held: LockedTarget, file: BundledFiles) -> SignedCopy:
        """`sign` for a bundle with unsigned files inside: one more signature for each of them, which is made first."""
        terms, clock, bundle = self._terms, StepClock(), held.artifact
        found: Digest = file.digest_to_sign(terms)
        unsigned(file, terms, found)  # raises for what would make every signature a wasted one
        inner_files = file.inner_files(found)
        clock.lap("digest")
        messages: dict[int, bytes] = {}
        made: list[_SignedDigest] = []
        with self._slots.released(), self._turn():
            for number in file.unsigned_inner():
                inner = inner_files[number]
                signed = self._signed_by_name(inner.file, inner.digest, f"{bundle.name}/{inner.name}")
                messages[number], _ = self._assembled(signed)
                made.append(signed)
        clock.lap("sign")
        copy = held.create_copy()
        with copy.open("r+b") as target:
            file.rebuild(messages, target)
        rebuilt = open_signable(copy, bundle.format)
        digest: Digest = rebuilt.digest_to_sign(terms)
        clock.lap("rebuild")
        with self._slots.released(), self._turn():
            signed = self._signed_by_name(rebuilt, digest, bundle.name)
            message, server = self._assembled(signed)
        clock.lap("timestamp")
        with copy.open("r+b") as target:
            rebuilt.embed(digest, (message,), target)  # onto itself: what it keeps stays where it is
        clock.lap("embed")
        return SignedCopy(
            bundle,
            copy,
            found,
            clock.seconds,
            signed.unsigned.digest,
            server,
            thumbprint_of(signed.chain[0]),
            tuple(inner.unsigned.digest for inner in made),
            _request_ids(*made, signed),
        )

    def _assembled(self, signed: _SignedDigest) -> tuple[bytes, str | None]:
        """The whole signature, stamped where stamps are asked for, and the server that did it."""
        token = self._stamp(signed.signature)
        made = signed.unsigned.assemble(signed.signature.value, signed.chain, token=token.der if token else None)
        return made, token.server if token else None

    def _signed_by_name(self, file: SignableFile, digest: Digest, name: str) -> _SignedDigest:
        """The signature of the file `name`, which names its certificate below it."""

        def prepared(chain: tuple[bytes, ...]) -> PreparedSignature:
            terms = self._terms
            if chain[0] != terms.chain[0]:
                terms = replace(terms, chain=chain)
                file.admit(terms)
            made = unsigned(file, terms, digest)
            self._source.announce(made.digest, digest.sha256, name)
            if isinstance(made, PairedSignature):
                self._source.announce(made.companion, digest.sha256, name)
            return made

        signature, chain = self._source.get_named(lambda chain: prepared(chain).digest, self._terms.algorithm)
        made = prepared(chain)
        if not isinstance(made, PairedSignature):
            return _SignedDigest(made, signature, chain)
        companion = self._source.get_with(chain, made.companion, self._terms.algorithm)
        return _SignedDigest(made.paired(companion.value), signature, chain, (made.companion, companion))

    def _admit(self, file: SignableFile) -> None:
        file.admit(self._terms)
        if self._preflight is not None:
            self._preflight.start()

    def _forget_embedded(self, copy: SignedCopy) -> None:
        """The journal forgets the signatures in a copy that took its target's place."""
        algorithm = self._terms.algorithm
        for digest in copy.inner_digests:
            self._source.embedded(digest, algorithm)
        self._source.embedded(copy.signed_digest, algorithm, copy.artifact.name, copy.hashes.sha256)

    def _forget_found(self, file: SignableFile) -> None:
        """The journal forgets the signatures that a file has: its run may have been killed just after replacing it."""
        journal = self._source.journal
        if journal is not None and journal.inherited:
            for signature in file.signatures:
                read: FileSignature = file.profile.read(signature)
                values = (read.value, *((read.companion_value,) if isinstance(read, PairedValue) else ()))
                for former in (former for value in values for former in journal.served(value)):
                    self._source.uses.settled(former, "embedded")

    def _notices(self) -> Iterator[str]:
        """Whether the journal could be kept, and whether this machine's clock is right."""
        fault = self._source.journal.fault if self._source.journal else None
        if fault is not None:
            yield f"signatures could not be kept for another run, the journal can't be written: {fault}"
        if self._preflight is not None and self._preflight.notice is not None:
            yield self._preflight.notice

    def _warnings(self) -> Iterator[RunWarning]:
        """What runs that were killed may have paid for."""
        lost = self._source.journal.lost if self._source.journal else []
        yield from lost_warnings([request.key.digest for request in lost])

    @property
    def _servers(self) -> tuple[RemoteAuthority, ...]:
        return self._timestamps.servers if self._timestamps else ()

    def _read_digest(self, held: LockedTarget, file: SignableFile) -> Digest:
        digest: Digest
        if isinstance(file, CopyingFile) and self._targets.may_copy_while_hashing(held):
            with held.create_copy().open("r+b") as copy:
                preallocate(copy, held.state.st_size + _SIGNATURE_ROOM)
                digest = file.digest_copying(self._terms, copy=copy)
        else:
            digest = file.digest_to_sign(self._terms)
        return digest

    def _stamp(self, signature: RawSignature) -> TimestampToken | None:
        client = self._timestamps
        if client is None:
            return None
        token = self._tokens.get(signature.value, lambda: client.stamp(signature.value, self._timestamp_digest))
        if self._preflight is not None:
            self._preflight.stamped()
        return token

    def _turn(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self._preflight is None else self._preflight.turn()


def _request_ids(*signed: _SignedDigest) -> tuple[str, ...]:
    """What the key store's log calls the requests, as far as it says."""
    values = (value for item in signed for value in (item.signature, *(item.companion or ())[1:]))
    return tuple(value.request_id for value in values if value.request_id is not None)
