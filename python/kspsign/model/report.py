"""The report: its values have exactly the keys of the JSON report (schema kspsign.report/1); units as in values.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from kspsign.model.errors import CANCELLED, NOT_TRIED
from kspsign.model.values import NOT_CHECKED, ErrorFacts, RootFacts, SignatureFacts, Verdict

if TYPE_CHECKING:
    from kspsign.model.ledger_facts import LedgerFacts
    from kspsign.model.run_facts import (
        BuildFacts,
        ConfigurationFacts,
        InsideFacts,
        PolicyFacts,
        ProvenanceFacts,
        SliceFacts,
    )
    from kspsign.model.signing_facts import CertificateFacts, Limits

REPORT_SCHEMA = "kspsign.report/1"


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """Report: what became of one file.

    `outcome` "checked" is a file that was verified but not to be signed, "planned" one that a dry run would sign,
    "removed" one whose signatures were taken out, wholly or in part, "extracted" one whose signatures were written to
    files of their own, "prepared" one whose digest, or the signature of it, was written to a digest document, "created"
    a catalogue that was written unsigned, "rebuilt" a container without a place for a signature, in which files were
    signed. `container` is the path of the container that holds the file, None for a file of its own; `inside` says what
    a container holds. `certificate` is the thumbprint of the certificate that this run signed it
    with. `request_ids` are what the key store's log calls the requests that made its signatures; () where the store
    does not say. `line_ends` is what those of a script were converted to before it was signed, None where they are as
    they were. `began` is when work on it began, in seconds after the run's `started`; None where that was not kept.
    """

    path: str
    format: str | None
    size: int
    sha256_before: str | None
    sha256_after: str | None
    outcome: Literal[
        "signed", "skipped", "failed", "checked", "planned", "removed", "extracted", "prepared", "created", "rebuilt"
    ]
    signatures: tuple[SignatureFacts, ...] = ()
    verdict: Verdict = NOT_CHECKED
    error: ErrorFacts | None = None
    attempts: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    timestamp_server: str | None = None
    certificate: str | None = None
    request_ids: tuple[str, ...] = ()
    line_ends: Literal["crlf"] | None = None
    began: float | None = None
    container: str | None = None
    inside: InsideFacts | None = None

    @property
    def tried(self) -> bool:
        """Whether the file was processed before the run stopped or was cancelled."""
        return self.error is None or self.error.code not in {NOT_TRIED, CANCELLED}


@dataclass(frozen=True, slots=True)
class ChainCertificate:
    """Report: a certificate of a chain that was judged. `issuer` is the thumbprint of the next one in that chain; None
    where it is the last."""

    thumbprint: str
    subject: str
    issuer: str | None
    not_before: str
    not_after: str


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """Report: this program."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """Report: the machine the run was on."""

    os: str
    arch: str
    python: str


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """Report: whom the run trusted. `named` are the roots that the user or test signing named, `used` those that chains
    of its files ended in. `program_date` is that of the Microsoft root program's list, which counts for timestamps
    and, where no root is named, for signers; None where it counts for nothing."""

    named: tuple[RootFacts, ...] = ()
    used: tuple[RootFacts, ...] = ()
    program_date: str | None = None


@dataclass(frozen=True, slots=True)
class RunWarning:
    """Report: what people should act on though nothing failed."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Report: a path that a pattern matched and that was left out on purpose, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOutFacts:
    """Report: how many paths were left out on purpose, and the first of them."""

    total: int = 0
    files: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """Report: counts over all files.

    `signatures_used` counts those that the key store made or may have made, `signatures_needed` those that a dry
    run found necessary. `left` are files that were not tried, since the run had stopped or was cancelled.
    """

    matched: int
    signed: int
    skipped: int
    failed: int
    verified: int
    unverified: int
    signatures_used: int
    signatures_needed: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The whole run, schema kspsign.report/1. `error` is what stopped the run before or between its files.

    `slice` is None when the run took all files that matched, `policy` when no policy file was given, `configuration`
    when no configuration file was read, `limits` when nothing was signed or stamped, `trust` when nothing was judged,
    `ledger` when no key was opened to sign, `provenance` without --provenance. A dry run never passes: it proves
    nothing. `max_signatures` is what the run might spend, None without a bound; `certificates` are those of the chains
    that were judged, each once.
    """

    tool: ToolFacts
    started: str
    finished: str
    agent: AgentFacts
    build: BuildFacts | None
    command: str
    engine: str | None
    key_store: str | None
    test_signing: bool
    passed: bool
    exit_code: int
    certificate: CertificateFacts | None
    totals: Totals
    files: tuple[FileOutcome, ...]
    error: ErrorFacts | None = None
    slice: SliceFacts | None = None
    policy: PolicyFacts | None = None
    limits: Limits | None = None
    dry_run: bool = False
    left_out: LeftOutFacts = LeftOutFacts()
    trust: TrustFacts | None = None
    warnings: tuple[RunWarning, ...] = ()
    configuration: ConfigurationFacts | None = None
    ledger: LedgerFacts | None = None
    provenance: ProvenanceFacts | None = None
    max_signatures: int | None = None
    certificates: tuple[ChainCertificate, ...] = ()
    schema: str = REPORT_SCHEMA
