"""Judges files by catalogues: each file must be a member, by its digest, of a catalogue that verifies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from kspsign.authenticode.cat.catalogue import CatFile
from kspsign.authenticode.cat.members import Member, read_members
from kspsign.authenticode.cat.write import format_digests
from kspsign.authenticode.cms.oids import OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import DiskState, Snapshot, file_changed
from kspsign.authenticode.signable import Digest
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import Artifact, DigestAlgorithm, ErrorFacts, Finding, Format, Verdict, Verification
from kspsign.verifying.chain_checks import algorithm_finding
from kspsign.verifying.conclude import conclude
from kspsign.verifying.signatures import ExaminedSignature, read_signatures
from kspsign.verifying.verifier import Verifier

_HASHED_BY_FORMAT = frozenset({Format.PE, Format.CAB, Format.MSI})
"""What catalogues may list by the Authenticode digest; Windows looks up MSI packages by the whole file alone."""
_BY_FILE, _BY_AUTHENTICODE = "the hash of the whole file", "its Authenticode digest"
_NAMED = 5


@dataclass(frozen=True, slots=True)
class JudgedCatalogue:
    """A catalogue that was judged: the verdict on it, its signatures with their chains, and its members by digest, and
    by whether that is one of a PE image. A member of which it is not known is there as both."""

    name: str
    verification: Verification
    examined: tuple[ExaminedSignature, ...]
    members: Mapping[tuple[bytes, bool], Member] = field(repr=False)

    @classmethod
    def open(cls, artifact: Artifact, verifier: Verifier) -> JudgedCatalogue:
        """Judge the catalogue and read its members; never raises for what it holds. OSError passes through."""
        examined: list[ExaminedSignature] = []
        shown = verifier.observer

        def observe(name: str, found: Sequence[ExaminedSignature]) -> None:
            examined.extend(found)
            if shown is not None:
                shown(name, found)

        snapshot = Snapshot(artifact.path)
        verification = replace(verifier, observer=observe).verify(snapshot, artifact.format, artifact.name)
        if artifact.format is not Format.CAT:
            return cls(artifact.name, verification, tuple(examined), {})
        try:
            members = tuple(read_members(CatFile.open(snapshot).trust_list))
        except ArtifactError:
            return cls(artifact.name, verification, tuple(examined), {})  # the verdict says so
        except TrustError as broken:
            found = Finding("catalog-members", broken.message, Hresult.TRUST_E_MALFORMED_SIGNATURE)
            return cls(artifact.name, _with(verification, found), tuple(examined), {})
        known = {(member.digest, is_image): member for member in reversed(members) for is_image in _kinds(member)}
        return cls(artifact.name, _with(verification, _members_finding(members)), tuple(examined), known)

    @property
    def signature_finding(self) -> Finding:
        """The check "catalog-signature": the catalogue itself verifies."""
        error = self.verification.error
        if error is None:
            return Finding("catalog-signature", f"{self.name} verifies")
        return Finding("catalog-signature", f"{self.name}: {error.message}", Hresult[error.code], error.remedy)


class _Match(NamedTuple):
    catalogue: JudgedCatalogue
    member: Member
    algorithm: DigestAlgorithm
    way: str


class CatalogueVerifier:
    """Judges files by `catalogues`, one of which must list each; safe to share between threads."""

    def __init__(self, verifier: Verifier, catalogues: Mapping[str, JudgedCatalogue]) -> None:
        self._verifier, self._catalogues = verifier, catalogues
        members = (member for catalogue in catalogues.values() for member in catalogue.members.values())
        self._algorithms = frozenset(member.algorithm for member in members if member.algorithm is not None)
        self._seen: set[tuple[str, Member]] = set()
        self._lock = threading.Lock()

    def verify(self, artifact: Artifact) -> Verification:
        """The verdict on a file by the catalogue that lists it, or on one of the catalogues; OSError passes through.

        Raises ArtifactError (ERROR_SHARING_VIOLATION) when the file changed meanwhile.
        """
        if artifact.real in self._catalogues:
            return self._catalogues[artifact.real].verification
        before, snapshot = DiskState.of(artifact.path), Snapshot(artifact.path)
        flat = _flat_digests(snapshot, self._algorithms)
        matches, around = self._matches(flat, _BY_FILE, is_image=False), tuple[Finding, ...]()
        if artifact.format in _HASHED_BY_FORMAT:
            digests, around = _format_digests(snapshot, artifact.format, self._algorithms)
            is_image = artifact.format is Format.PE
            for digest in digests:
                matches += self._matches(digest.values, _BY_AUTHENTICODE, is_image=is_image)
        with self._lock:
            self._seen.update((match.catalogue.name, match.member) for match in matches)
        if not before.lasts(DiskState.of(artifact.path)):
            raise file_changed()
        sha256 = flat[DigestAlgorithm.SHA256].hex()
        if not matches:
            return conclude(tuple(self._not_listed()), (), sha256)
        best = min(matches, key=self._preference)
        findings = around if best.way is _BY_AUTHENTICODE else ()  # the hash of the whole file covers all of it
        facts = tuple(signature.facts for signature in best.catalogue.examined)
        return conclude((*self._listed(best, artifact), *findings), facts, sha256)

    def unseen(self) -> Iterator[tuple[str, str]]:
        """The members that no judged file is, as the names of catalogue and member."""
        for catalogue in self._catalogues.values():
            for member in dict.fromkeys(catalogue.members.values()):
                if (catalogue.name, member) not in self._seen:
                    yield catalogue.name, member.shown

    def _matches(self, values: Mapping[DigestAlgorithm, bytes], way: str, *, is_image: bool) -> list[_Match]:
        return [
            _Match(catalogue, member, algorithm, way)
            for algorithm, value in values.items()
            for catalogue in self._catalogues.values()
            if (member := catalogue.members.get((value, is_image))) is not None and member.algorithm is algorithm
        ]

    def _preference(self, match: _Match) -> tuple[bool, bool, bool]:
        weak = match.algorithm not in self._verifier.trust.strength.digests
        return not match.catalogue.verification.verdict.ok, weak, match.way is not _BY_FILE

    def _listed(self, match: _Match, artifact: Artifact) -> Iterator[Finding]:
        catalogue, member = match.catalogue, match.member
        own = "; signatures in the file were not judged" if match.way is _BY_AUTHENTICODE else ""
        yield catalogue.signature_finding
        yield Finding(
            "catalog-member", f"{catalogue.name} lists {member.shown} by {match.way} ({match.algorithm}){own}"
        )
        yield algorithm_finding("algorithms", self._verifier.trust.strength, match.algorithm)
        judge = self._verifier.judge
        if judge is not None:
            yield from judge.findings(artifact.name, artifact.format, catalogue.examined, datetime.now(UTC))

    def _not_listed(self) -> Iterator[Finding]:
        names = ", ".join(catalogue.name for catalogue in self._catalogues.values())
        yield Finding(
            "catalog-member", f"the file is not in the catalogue {names}", Hresult.SPAPI_E_FILE_HASH_NOT_IN_CATALOG
        )
        for catalogue in self._catalogues.values():
            yield catalogue.signature_finding


def _with(verification: Verification, finding: Finding) -> Verification:
    """`verification` with one more check."""
    further = conclude((finding,), (), "")
    error: ErrorFacts | None = verification.error or further.error
    checks = (*verification.verdict.checks, *further.verdict.checks)
    verdict = Verdict("verified" if error is None else "failed", checks)
    return verification._replace(verdict=verdict, error=error)


def _members_finding(members: Sequence[Member]) -> Finding:
    """The check "catalog-members": Windows finds members by their tags, so those that are digests are the file's.

    Files of the same content are one member each, of the same tag, as New-FileCatalog writes them.
    """
    digests: dict[bytes, bytes] = {}
    faults = [f"{member.shown}: {member.fault}" for member in members if member.fault]
    faults += (
        f"{member.shown}: its tag is that of another digest too"
        for member in members
        if digests.setdefault(member.tag, member.digest) != member.digest
    )
    if faults:
        more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        detail = "; ".join(faults[:_NAMED]) + more
        return Finding("catalog-members", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE, "Create it again.")
    shared = len(members) - len(digests)
    return Finding("catalog-members", f"{len(members)}" + (f", {shared} with the digest of another" if shared else ""))


def _kinds(member: Member) -> tuple[bool, ...]:
    """Whether its digest is one of a PE image: of what an image leaves out, a file of another type can be made that
    has the same."""
    return (member.kind == OID_SPC_PE_IMAGE_DATA,) if member.kind else (True, False)


def _flat_digests(snapshot: Snapshot, algorithms: Collection[DigestAlgorithm]) -> dict[DigestAlgorithm, bytes]:
    """Those of the whole file, with SHA-256 in any case."""
    hashers = {algorithm: hashlib.new(algorithm) for algorithm in (*algorithms, DigestAlgorithm.SHA256)}
    for _, piece in snapshot.pieces():
        for hasher in hashers.values():
            hasher.update(piece)
    return {algorithm: hasher.digest() for algorithm, hasher in hashers.items()}


def _format_digests(
    snapshot: Snapshot, format_: Format | None, algorithms: Collection[DigestAlgorithm]
) -> tuple[tuple[Digest, ...], tuple[Finding, ...]]:
    """The digests of its format, and the checks of what they leave out. A file whose structure is damaged has none."""
    try:
        file = open_signable(snapshot, format_)
    except ArtifactError as damaged:
        if damaged.hresult is Hresult.ERROR_SHARING_VIOLATION:
            raise
        return (), ()
    signatures, unreadable = read_signatures(file)
    structure: Iterable[Finding] = file.structure(file.digest_to_check(signatures), signatures)
    return tuple(format_digests(file, algorithms)), (*unreadable, *structure)


def read_catalogues(artifacts: Iterable[Artifact], verifier: Verifier) -> dict[str, JudgedCatalogue]:
    """The catalogues by their real paths, each judged."""
    return {artifact.real: JudgedCatalogue.open(artifact, verifier) for artifact in artifacts}
