"""What a run would spend, found out without asking anybody: the dry run's side of the engines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from kspsign.authenticode.profile import PreparedSignature, SigningTerms
from kspsign.authenticode.signable import Digest, SignableFile
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.model.values import DigestAlgorithm, SyncedCertificate
from kspsign.settings.model import Settings
from kspsign.signing.budget import Budget
from kspsign.signing.journal import Journal

Reading = Callable[[SigningTerms], Digest]
"""A file's `digest_to_sign`, or what does more in the same pass."""


class Planner(Protocol):
    """Goes over the files as the engine would; safe to share between threads."""

    @property
    def budget(self) -> Budget:
        """What would be spent so far."""

    def plan(self, file: SignableFile) -> str:
        """Take the file's signature from the budget, unless it is at hand; returns the file's sha256.

        Raises ArtifactError when the file can't be signed, SigningError (BUDGET_SPENT).
        """


def signing_terms(settings: Settings, chain: tuple[bytes, ...]) -> SigningTerms:
    """How `settings` want files signed."""
    return SigningTerms(
        DigestAlgorithm(settings.digest),
        chain,
        append=settings.append,
        page_hashes=settings.page_hashes,
        description=settings.description,
        description_url=settings.description_url,
    )


def prepared(file: SignableFile, terms: SigningTerms, read: Reading) -> tuple[PreparedSignature, Digest]:
    """The signature of `file` but for its value, and what embedding needs; `read` reads the file, once."""
    digest = read(terms)
    return file.profile.prepare(terms, file.content(terms, digest)), digest


class NativePlanner:
    """One signature for each digest that no journal knows."""

    def __init__(self, terms: SigningTerms, budget: Budget, journal: Journal) -> None:
        self.budget = budget
        self._terms, self._journal = terms, journal
        self._once: SingleFlight[None] = SingleFlight()

    def plan(self, file: SignableFile) -> str:
        """See Planner."""
        file.admit(self._terms)
        unsigned, digest = prepared(file, self._terms, file.digest_to_sign)
        if self._journal.find(unsigned.digest, self._terms.algorithm) is None:
            self._once.get(unsigned.digest, self.budget.take)
        return digest.sha256


class ToolPlanner:
    """One signature for each content."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._once: SingleFlight[None] = SingleFlight()

    def plan(self, file: SignableFile) -> str:
        """See Planner."""
        sha256: str = file.digest([]).sha256
        self._once.get(bytes.fromhex(sha256), self.budget.take)
        return sha256


@contextlib.contextmanager
def open_native_planner(settings: Settings, certificate: SyncedCertificate) -> Iterator[NativePlanner]:
    """For the native engine; what runs before left in the journal counts as obtained."""
    journal = Journal(settings.journal_folder, certificate.thumbprint)
    journal.look()
    yield NativePlanner(signing_terms(settings, certificate.chain), Budget(settings.max_signatures), journal)


@contextlib.contextmanager
def open_tool_planner(settings: Settings) -> Iterator[ToolPlanner]:
    """For the engines that call a tool."""
    yield ToolPlanner(Budget(settings.max_signatures))
