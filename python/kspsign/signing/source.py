"""The source of raw signatures: requests each digest once from the key store, within its limits and the budget.

A signature that was obtained is kept until its file is written: it is never asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import parse_certificate, subject_of, thumbprint_of
from kspsign.concurrency.in_flight import InFlight
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.concurrency.turns import Turns
from kspsign.keys.protocol import KeyStore, ResumableKeyStore, ScanningKeyStore
from kspsign.model.errors import (
    LostSignatureError,
    OperationFailedError,
    PrerequisiteError,
    SigningError,
    ThrottledError,
    TrustError,
)
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.network.limiter import Limiter
from kspsign.network.retry import LONGEST_PAUSE
from kspsign.network.trace import Trace
from kspsign.signing.budget import Budget
from kspsign.signing.circuit_breaker import CircuitBreaker
from kspsign.signing.journal import is_current
from kspsign.signing.journal_entries import JournalKey, LostRequest
from kspsign.signing.signature_cache import SignatureCache
from kspsign.signing.source_records import SourceRecords
from kspsign.signing.use_recorder import new_use

_Answer = TypeVar("_Answer")
ATTEMPTS: Final = 10
"""How often one file is asked for at a key store that says that it is too busy."""
NAMED_ATTEMPTS: Final = 2
"""How often a signature is repeated because its certificate was replaced after it was named."""
FREE_KEPT: Final = 4096
"""Signatures that cost nothing and are remembered for further files with the same digest; of others all are."""
SETTLE_SECONDS: Final = 0.4
"""Of the two seconds that a cancelled run has in all: for signatures that are paid for and on their way."""


class SignatureSource:
    """Signs digests with `key`; safe to share between threads. A signature counts when it holds under the chain that
    came with it, else under `chain`, the certificate that certsync found.
    """

    def __init__(
        self,
        key: KeyStore,
        chain: tuple[bytes, ...],
        limiter: Limiter,
        budget: Budget,
        breaker: CircuitBreaker,
        records: SourceRecords,
    ) -> None:
        self.limiter, self.budget = limiter, budget
        self.uses, self.journal, self._cache = records
        self.fixed_certificate = key.capabilities.fixed_certificate
        self._key, self._chain, self._breaker = key, chain, breaker
        self._resumable = key if isinstance(key, ResumableKeyStore) else None
        self._scanning = key if isinstance(key, ScanningKeyStore) else None
        self._identity = PublisherIdentity.of(chain[0])
        self._flights: SingleFlight[RawSignature] = SingleFlight(keep=None if records.journal else FREE_KEPT)
        self._turns = Turns()
        self._unkept = InFlight()
        self._trace = Trace()

    def announce(self, digest: bytes, sha256: str, file: str) -> None:
        """`digest` will be asked for: it is of `file`, which has this SHA-256 (hex; "" where that is not known)."""
        self.uses.name(digest, file)
        if self._scanning is not None and sha256:
            self._scanning.announce(digest, bytes.fromhex(sha256))

    def get(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """A valid signature of `digest`; costs at most one, and none if it was obtained before.

        Raises SigningError when the key store refuses, its signature does not match the certificate or the budget is
        spent, HaltedError when the run has stopped, CancelledError.
        """
        with nullcontext() if self.fixed_certificate else self._turns.shared():
            return self._get_once(digest, algorithm)

    def get_named(
        self, to_sign: Callable[[tuple[bytes, ...]], bytes], algorithm: DigestAlgorithm
    ) -> tuple[RawSignature, tuple[bytes, ...]]:
        """A signature of the digest that `to_sign` makes of the chain that it is to be verified with, and that chain.

        For what names its certificate below the signature. The key store says first which certificate is next, and
        signs nothing else meanwhile; where another one signed all the same, that one is named and asked once more.
        Raises what `get` does, and PrerequisiteError when the key store does not say.
        """
        if self.fixed_certificate:
            return self.get(to_sign(self._chain), algorithm), self._chain
        with self._turns.alone():
            chain = self._key.certificate_chain()
            for _ in range(NAMED_ATTEMPTS):
                digest = to_sign(chain)
                signature = self._get_once(digest, algorithm)
                used = signature.chain or chain
                if to_sign(used) == digest:
                    return signature, used
                self.uses.discarded(digest, algorithm, "CERTIFICATE_CHANGED")
                self._forget(digest, algorithm)
                named = self._key.certificate_chain()
                chain = named if named[0] != chain[0] else used
        changed = SigningError(
            f"key store {self._key.name} signed with another certificate than it named, {NAMED_ATTEMPTS} times",
            code="CERTIFICATE_CHANGED",
            remedy="Run again: files already signed are skipped.",
        )
        self._breaker.record_failure(changed)
        raise changed

    def get_with(self, chain: tuple[bytes, ...], digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """A signature of `digest` by the certificate that begins `chain`, which made another one for the same file.

        Raises what `get` does, and SigningError (CERTIFICATE_CHANGED) when the key store signed with another one.
        """
        signature = self.get(digest, algorithm)
        if (signature.chain or self._chain)[0] != chain[0]:
            self.embedded(digest, algorithm)  # no file will ever have it
            raise SigningError(
                f"key store {self._key.name} changed its certificate between the two signatures of a file",
                code="CERTIFICATE_CHANGED",
                remedy="Run again: files already signed are skipped.",
            )
        return signature

    def settle(self) -> None:
        """Of a run that ends early: wait a moment for what was asked for and is not in the journal yet."""
        self._unkept.settle(SETTLE_SECONDS)

    def embedded(
        self, digest: bytes, algorithm: DigestAlgorithm, file: str | None = None, sha256: str | None = None
    ) -> None:
        """The signature of `digest` is in its file: `file`, or the one that was announced."""
        self.uses.embedded(digest, algorithm, file, sha256)
        self._forget(digest, algorithm)

    def discarded(self, digest: bytes, algorithm: DigestAlgorithm, reason: str) -> None:
        """The signature of `digest` was obtained and will be in no file: no run asks for the same digest again."""
        self.uses.discarded(digest, algorithm, reason)
        self._abandon(digest, algorithm)

    def _forget(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        """The journal need not keep the signature any more."""
        if self.journal is not None:
            self.journal.done(digest, algorithm)

    def _get_once(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        def request() -> RawSignature:
            return (
                self._from_journal(digest, algorithm)
                or self._from_operation(digest, algorithm)
                or self._request(digest, algorithm)
            )

        if self._cache is None:
            return self._flights.get(digest, request)
        return self._flights.get(digest, partial(self._through, self._cache, digest, algorithm, request))

    def _through(
        self, cache: SignatureCache, digest: bytes, algorithm: DigestAlgorithm, request: Callable[[], RawSignature]
    ) -> RawSignature:
        """The signature that another run obtained, or the one that `request` obtains for all of them."""
        with cache.entry(digest, algorithm) as entry:
            known = entry.signature()
            if known is not None and self._is_usable(known, digest):
                self.uses.adopt(digest, algorithm, None, "cache")
                self._trace.note(f"{self._key.name} was not asked for {digest.hex()}: from the signature cache")
                return known
            signature = request()
            entry.keep(signature)
            return signature

    def _from_journal(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature | None:
        signature = self.journal.find(digest, algorithm) if self.journal is not None else None
        if self.journal is None or signature is None or not self._is_usable(signature, digest):
            return None
        self.uses.adopt(digest, algorithm, self.journal.use(digest, algorithm), "journal")
        return signature

    def _from_operation(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature | None:
        """The signature that a run which was cut off began and paid for; None when there is none to be had.

        Raises LostSignatureError when it can't be fetched now: a second one would be paid for.
        """
        operation = self.journal.operation(digest, algorithm) if self.journal is not None else None
        if self.journal is None or operation is None or self._resumable is None:
            return None
        with self.limiter.slot():
            self._breaker.check()
            try:
                signature = self._resumable.finish(operation, digest, algorithm)
            except OperationFailedError as failed:
                use = self.journal.use(digest, algorithm) or ""
                former = LostRequest(JournalKey(algorithm.value, digest.hex()), use)
                self.uses.settled(former, "lost" if failed.gone else "refused", failed.code)
                self.journal.abandon(digest, algorithm)
                return None
        if not self._is_usable(signature, digest):
            self.journal.abandon(digest, algorithm)
            return None
        self.uses.adopt(digest, algorithm, self.journal.use(digest, algorithm), "journal")
        self.journal.add(digest, signature)
        return signature

    def _request(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        with self._unkept if self._resumable is None else nullcontext():
            return self._request_with_retry(digest, algorithm)

    def _keep(self, signature: RawSignature, digest: bytes, use: str) -> None:
        """Keep a signature that arrived. Raises SigningError when it does not match the certificate."""
        self.uses.answered(use, thumbprint_of((signature.chain or self._chain)[0]), signature.request_id)
        if signature.request_id is not None:
            self._trace.note(f"{self._key.name} signed {digest.hex()} by request {signature.request_id}")
        if not self._verifies(signature, digest):
            self._abandon(digest, signature.algorithm)
            mismatch = self._mismatch(signature)
            self.uses.ended(use, "discarded", mismatch.code)
            self._breaker.record_failure(mismatch)
            raise mismatch
        self._breaker.record_success()
        if self.journal is not None:
            self.journal.add(digest, signature)

    def _abandon(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        if self.journal is not None:
            self.journal.abandon(digest, algorithm)

    def _mismatch(self, signature: RawSignature) -> SigningError:
        leaf = (signature.chain or self._chain)[0]
        who = "that came with it" if signature.chain else f"{thumbprint_of(leaf)} ({subject_of(leaf)})"
        return SigningError(
            f"what the key in the key store {self._key.name} signed does not match the certificate {who}, "
            "or is of another file" + (", or that certificate is another publisher's" if signature.chain else ""),
            code="KEY_MISMATCH",
            remedy="Run certsync again; check that the certificate was issued for this key pair alias.",
        )

    def _request_with_retry(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._request_once(digest, algorithm)
            except ThrottledError as busy:
                self._breaker.record_throttled(busy)
                if attempt == ATTEMPTS or (busy.retry_after or 0) > LONGEST_PAUSE:
                    tried = f" (after {attempt} attempts)" if attempt > 1 else ""
                    raise ThrottledError(f"{busy.message}{tried}", code=busy.code, remedy=busy.remedy) from busy
        raise AssertionError  # the last attempt returns or raises

    def _request_once(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        with self.limiter.slot(self._breaker.allows) as slot:
            self._breaker.check()
            self.budget.take()
            use = new_use()
            try:
                signature = self._sign(digest, algorithm, use)
            except ThrottledError as busy:
                self.budget.give_back()
                self.uses.ended(use, "refused", busy.code)
                slot.throttled(busy.retry_after)
                raise
            except PrerequisiteError:  # of the ledger: nothing was asked for
                self.budget.give_back()
                raise
            except LostSignatureError as lost:
                self.uses.ended(use, "lost", lost.code)
                if lost.timed_out:
                    slot.throttled(None)
                self._breaker.record_failure(lost)
                raise
            except SigningError as refused:
                gone = isinstance(refused, OperationFailedError) and refused.gone
                self.uses.ended(use, "lost" if gone else "refused", refused.code)
                if not gone:
                    self.budget.give_back()
                self._breaker.record_failure(refused)
                raise
            # Before the next request gets its turn: a run that is killed loses as many signatures as are under way.
            self._keep(signature, digest, use)
            return signature

    def _sign(self, digest: bytes, algorithm: DigestAlgorithm, use: str) -> RawSignature:
        """One signature; where it has to be fetched, what it is fetched by is kept first."""
        if self._resumable is None:
            return self._asked(digest, algorithm, use, self._key.sign)
        with self._unkept:
            begun = self._asked(digest, algorithm, use, self._resumable.begin)
            if isinstance(begun, RawSignature):
                return begun
            self.uses.answered(use, None, operation=begun)
            if self.journal is not None:
                self.journal.begin(digest, algorithm, begun)
        try:
            return self._resumable.finish(begun, digest, algorithm)
        except OperationFailedError:
            self._abandon(digest, algorithm)
            raise

    def _asked(
        self, digest: bytes, algorithm: DigestAlgorithm, use: str, request: Callable[[bytes, DigestAlgorithm], _Answer]
    ) -> _Answer:
        """The answer to `request`, which is noted before it is sent: a run that is killed in between may have paid.

        The journal comes first: what is in the ledger without an outcome, the next run can end.
        """
        if self.journal is not None:
            self.journal.ask(digest, algorithm, use)
        try:
            self.uses.ask(use, digest, algorithm)
            return request(digest, algorithm)
        except BaseException:
            self._abandon(digest, algorithm)
            raise

    def _is_usable(self, signature: RawSignature, digest: bytes) -> bool:
        return is_current(signature) and self._verifies(signature, digest)

    def _verifies(self, signature: RawSignature, digest: bytes) -> bool:
        """Whether the signature is of `digest`, by the key of its certificate, which is our publisher's."""
        leaf = (signature.chain or self._chain)[0]
        try:
            ours = leaf == self._chain[0] or self._identity.is_same(PublisherIdentity.of(leaf))
            key = parse_certificate(leaf).public_key()
        except (TrustError, ValueError, UnsupportedAlgorithm):
            return False
        return ours and signature_holds(key, signature.value, digest, signature.algorithm, None)
