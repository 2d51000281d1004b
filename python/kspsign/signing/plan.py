"""The dry run: what a run would spend, determined without any request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from kspsign.authenticode.profile import DetachableProfile, PairedSignature, PreparedSignature, SigningTerms
from kspsign.authenticode.references import ReferencingFile
from kspsign.authenticode.signable import BundledFiles, Digest, SignableFile
from kspsign.certificates.identity import PublisherIdentity
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, SyncedCertificate
from kspsign.settings.model import Settings
from kspsign.signing.budget import Budget
from kspsign.signing.journal import Journal, is_current


@runtime_checkable
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
    """How `settings` want files signed, under the leaf of `chain`."""
    return SigningTerms(
        DigestAlgorithm(settings.digest),
        chain,
        append=settings.append,
        page_hashes=settings.page_hashes,
        description=settings.description,
        description_url=settings.description_url,
    )


def unsigned(file: SignableFile, terms: SigningTerms, digest: Digest) -> PreparedSignature:
    """The signature of `file` but for its value."""
    return file.profile.prepare(terms, file.content(terms, digest))


class NativePlanner:
    """One signature for each digest that no journal knows."""

    def __init__(self, terms: SigningTerms, budget: Budget, journals: Sequence[Journal]) -> None:
        self.budget = budget
        self._terms, self._journals = terms, journals
        self._once: SingleFlight[None] = SingleFlight()

    def plan(self, file: SignableFile) -> str:
        """See Planner."""
        file.admit(self._terms)
        digest: Digest = file.digest_to_sign(self._terms)
        to_sign = unsigned(file, self._terms, digest)
        if isinstance(file, BundledFiles) and file.unsigned_inner():
            self._take_inside_out(file, digest)
        else:
            self._take(to_sign.digest)
            if isinstance(to_sign, PairedSignature):
                self._take(to_sign.companion)
        return digest.sha256

    def _take_inside_out(self, file: BundledFiles, digest: Digest) -> None:
        """A signature for each file inside that has none, and one for the bundle, whose digest depends on these."""
        inner_files = file.inner_files(digest)
        for number in file.unsigned_inner():
            inner = inner_files[number]
            self._take(unsigned(inner.file, self._terms, inner.digest).digest)
        self._once.get(bytes.fromhex(digest.sha256), self.budget.take)

    def _take(self, to_sign: bytes) -> None:
        if not any(self._is_paid_for(journal, to_sign) for journal in self._journals):
            self._once.get(to_sign, self.budget.take)

    def _is_paid_for(self, journal: Journal, to_sign: bytes) -> bool:
        signature = journal.find(to_sign, self._terms.algorithm)
        if signature is None:
            return journal.operation(to_sign, self._terms.algorithm) is not None
        return is_current(signature)


class ToolPlanner:
    """One signature for each content."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._once: SingleFlight[None] = SingleFlight()

    def plan(self, file: SignableFile) -> str:
        """See Planner."""
        check_for_tools(file)
        sha256: str = file.digest([]).sha256
        self._once.get(bytes.fromhex(sha256), self.budget.take)
        return sha256


def check_for_tools(file: SignableFile) -> None:
    """Raise ArtifactError (ERROR_NOT_SUPPORTED) for a file that SignTool and smctl leave to other programs."""
    as_xml = isinstance(file.profile, DetachableProfile) and not file.profile.is_pkcs7
    if as_xml or isinstance(file, ReferencingFile):
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "its signature is an XML document, and SignTool and smctl write none",
            remedy="Sign it with --engine native and a key store that signs digests, or exclude it (!PATTERN).",
        )


def native_planner(settings: Settings, certificate: SyncedCertificate, budget: Budget) -> NativePlanner:
    """For the native engine; what runs before left in the journal counts as obtained."""
    names = certificate.thumbprint, PublisherIdentity.of(certificate.chain[0]).label
    journals = [Journal(settings.journal_folder, name) for name in names]
    for journal in journals:
        journal.look()
    return NativePlanner(signing_terms(settings, certificate.chain), budget, journals)
