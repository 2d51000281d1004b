"""Where raw signatures come from: asked of the key store once per digest, within its limits and the budget.

A signature that was obtained is kept until its file is written: it is never asked for again.
"""

from __future__ import annotations

from typing import Final

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.parse import parse_certificate, subject_of
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.keys import KeyStore
from kspsign.model.errors import LostSignatureError, SigningError, ThrottledError
from kspsign.model.values import DigestAlgorithm, RawSignature, SyncedCertificate
from kspsign.network.limiter import Limiter
from kspsign.network.retry import LONGEST_PAUSE
from kspsign.signing.budget import Budget
from kspsign.signing.circuit_breaker import CircuitBreaker
from kspsign.signing.journal import Journal

ATTEMPTS: Final = 10
"""How often one file is asked for at a key store that says that it is too busy."""


class SignatureSource:
    """Signs digests with `key` in the name of `certificate`; safe to share between threads.

    `journal` is None where a signature costs nothing, so that none is worth keeping.
    """

    def __init__(
        self,
        key: KeyStore,
        certificate: SyncedCertificate,
        limiter: Limiter,
        budget: Budget,
        breaker: CircuitBreaker,
        journal: Journal | None,
    ) -> None:
        self.limiter, self.budget, self.journal = limiter, budget, journal
        self._key, self._certificate, self._halt = key, certificate, breaker
        self._public_key = parse_certificate(certificate.chain[0]).public_key()
        self._once: SingleFlight[RawSignature] = SingleFlight()

    def obtain(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """A signature of `digest` that holds; costs one at most, and none where it was obtained before.

        Raises SigningError when the key store refuses, its signature does not fit the certificate or the budget is
        spent, HaltedError when the run has stopped, CancelledError.
        """
        return self._once.get(digest, lambda: self._found(digest, algorithm) or self._asked(digest, algorithm))

    def embedded(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        """The signature of `digest` is in its file."""
        if self.journal is not None:
            self.journal.done(digest, algorithm)

    def _found(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature | None:
        signature = self.journal.find(digest, algorithm) if self.journal is not None else None
        return signature if signature is not None and self._holds(signature, digest) else None

    def _asked(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        signature = self._ask_until_settled(digest, algorithm)
        if not self._holds(signature, digest):
            subject = subject_of(self._certificate.chain[0])
            mismatch = SigningError(
                f"what the key in the key store {self._key.name} signed does not fit the certificate "
                f"{self._certificate.thumbprint} ({subject}), or is of another file",
                code="KEY_MISMATCH",
                remedy="Run certsync again; check that the certificate was issued for this key pair alias.",
            )
            self._halt.refused(mismatch)
            raise mismatch
        self._halt.accepted()
        if self.journal is not None:
            self.journal.add(digest, signature)
        return signature

    def _ask_until_settled(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._ask(digest, algorithm)
            except ThrottledError as busy:
                if attempt == ATTEMPTS or (busy.retry_after or 0) > LONGEST_PAUSE:
                    tried = f" (after {attempt} attempts)" if attempt > 1 else ""
                    raise ThrottledError(f"{busy.message}{tried}", code=busy.code, remedy=busy.remedy) from busy
        raise AssertionError  # the last attempt returns or raises

    def _ask(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        with self.limiter.slot() as slot:
            self._halt.check()
            self.budget.take()
            try:
                return self._key.sign(digest, algorithm)
            except ThrottledError as busy:
                self.budget.give_back()
                slot.throttled(busy.retry_after)
                raise
            except LostSignatureError as lost:
                if lost.timed_out:
                    slot.throttled(None)
                self._halt.refused(lost)
                raise
            except SigningError as refused:
                self.budget.give_back()
                self._halt.refused(refused)
                raise

    def _holds(self, signature: RawSignature, digest: bytes) -> bool:
        return signature_holds(self._public_key, signature.value, digest, signature.algorithm, None)
