"""Parts of the report that few runs have: what they were part of, and what else was asked for; units as in values.py.

They are apart from report.py since defining a class takes longer than signing a file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InsideFacts:
    """Report: what a container holds, where its inside was asked for: `files` have rows of their own; `not_matched` by
    no pattern, `not_signable` of no format that carries signatures. `not_opened` says what is packed inside in a way
    that is neither read nor written again, "" for nothing."""

    files: int
    not_matched: int = 0
    not_signable: int = 0
    not_opened: str = ""


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """Report: the Azure Pipelines build, when the run was part of one."""

    id: str
    number: str
    definition: str
    project: str
    collection: str
    repository: str
    source_version: str
    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """Report: the part of the matched files that this run took, when several runs share them.

    Slice `number` (from 1) of `total`; `files` are all files that matched, and `selection` is the sha256 over
    their names and sizes: runs that share the same files agree in all three.
    """

    number: int
    total: int
    files: int
    selection: str


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """Report: the policy file that the files were judged by: its name, and the sha256 of its text."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """Report: the configuration file that settings came from: its name, and the sha256 of its text.

    `ambient` is true when it was found in the working folder and not named, so that only harmless settings count.
    """

    name: str
    sha256: str
    ambient: bool = False


@dataclass(frozen=True, slots=True)
class ProvenanceFacts:
    """Report: the provenance that the run wrote, or by which it verified. `sha256` is that of its file, `certificate`
    the signer's thumbprint, `timestamp` when it was stamped, None without one."""

    file: str
    sha256: str
    repository: str
    ref: str
    commit: str
    definition: str
    builder: str
    run: str
    subjects: int
    certificate: str
    timestamp: str | None
