"""The verdict on a container: its own signature, and every file inside that has a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.zip import Scan
from kspsign.batch.inside.extract import BOUNDS
from kspsign.batch.inside.tree import ContainerNode, Inside
from kspsign.model.report import FileOutcome
from kspsign.model.values import Check, Finding, Verdict, Verification
from kspsign.verifying import Verifier
from kspsign.verifying.conclude import conclude

_CHECK = "inside"
_INSIDE = "inside it, "
_WITHOUT_SIGNATURE = frozenset({ContainerKind.ZIP})
"""Kinds of containers that have no place for a signature of their own."""


def verify_container(node: ContainerNode, inside: Inside, verifier: Verifier) -> Verification:
    """The verdict on a container whose files are judged: its own, and that of the first of them that does not
    verify."""
    artifact = node.artifact
    if node.error is not None:
        raise node.error
    own = own_verdict(node, verifier, (artifact.name,))
    for member in node.members:
        error = inside.of(member).error
        if error is not None:
            verdict = _with_check(own.verdict, node, ok=False, detail=f"{member.entry}: {error.message}")
            deeper = error.message.startswith(_INSIDE)  # one path, however deep: a/b.zip/c.exe
            said = (
                f"{member.entry}/{error.message.removeprefix(_INSIDE)}"
                if deeper
                else f"{member.entry}: {error.message}"
            )
            named = replace(error, message=_INSIDE + said)
            return Verification(verdict, own.signatures, own.sha256, own.error or named)
    return own._replace(verdict=_with_check(own.verdict, node, ok=True))


def proved(outcome: FileOutcome, node: ContainerNode) -> FileOutcome:
    """The outcome of a container all of whose files hold."""
    return replace(outcome, verdict=_with_check(outcome.verdict, node, ok=True)) if outcome.verdict.ok else outcome


def check_kind(node: ContainerNode) -> None:
    """Raise ArtifactError for a container that has a signature of its own, of a kind that is not made here."""
    if node.artifact.format is None and node.kind not in _WITHOUT_SIGNATURE:
        open_signable(node.artifact.path, None)  # raises, and says what signs it


def sha256_of(path: Path) -> str:
    """The sha256 (hex) of the file."""
    return Snapshot(path, keep=False).sha256()


def own_verdict(
    node: ContainerNode, verifier: Verifier, names: Sequence[str], path: Path | None = None
) -> Verification:
    """The verdict on the container by its own signature; one that has no place for any has only what a policy says."""
    artifact = node.artifact
    if artifact.format is not None or node.kind not in _WITHOUT_SIGNATURE:
        return verifier.verify_by_names(artifact.path, artifact.format, names)
    path = path or artifact.path
    findings = [_content_finding(path)]
    if verifier.judge is not None:
        findings += (finding for name in names for finding in verifier.judge.unsigned_findings(name, None))
    return conclude(tuple(findings), (), sha256_of(path))


def _content_finding(path: Path) -> Finding:
    """The check "package-content" of a container that no signature covers: files that are not judged are whole too."""
    container = open_container(path, BOUNDS)
    scan = Scan(container.archive)
    with container.snapshot.open() as file:
        for _ in scan.pieces(file):
            pass
    return scan.finding()


def _with_check(verdict: Verdict, node: ContainerNode, *, ok: bool, detail: str = "") -> Verdict:
    said = detail or f"{len(node.members)} in it, each judged in a row of its own"
    checks = (*verdict.checks, Check(_CHECK, ok, said))
    return Verdict(verdict.result if ok else "failed", checks)
