"""The ledgers of a run that signs: the file of --ledger, and in Azure Pipelines one of this run alone, to attach."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from kspsign.batch.run import Run
from kspsign.keys.open import engine_for
from kspsign.keys.protocol import SigningKey
from kspsign.ledger.entries import KeyFacts, LedgerCertificate, RunEntry, fit_text
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.history import LedgerHistory, MonthlyLimit
from kspsign.model.errors import ConfigurationError
from kspsign.model.ledger_facts import AnchorFacts, LedgerFacts, MonthFacts, RotationFacts
from kspsign.model.report import BuildFacts, CertificateFacts, RunWarning
from kspsign.model.version import VERSION


class RunLedgers(NamedTuple):
    """The ledgers that a run writes: that of --ledger, and the file to attach to the build, as far as there are."""

    shared: LedgerFile | None = None
    attached: LedgerFile | None = None

    @property
    def files(self) -> tuple[LedgerFile, ...]:
        """Both, as far as there are."""
        return tuple(file for file in self if file is not None)


def begin_ledger(run: Run, signing: SigningKey) -> None:
    """The run's uses of the key are recorded from here on. Raises PrerequisiteError when a ledger can't be written."""
    certificate, store = signing.certificate, signing.store
    key_is_fixed = store is None or store.capabilities.fixed_certificate
    named, limit = run.settings.ledger, run.settings.max_signatures_per_month
    build = _fitted(run.context.build)
    alias, reference = certificate.alias, certificate.key_reference
    key = KeyFacts(
        store=certificate.key_store,
        alias=fit_text(alias) if alias is not None else None,
        reference={name: fit_text(value) for name, value in reference.items()},
    )
    history = LedgerHistory(build, key)
    run.record.ledgers = ledgers = RunLedgers(
        LedgerFile(named.absolute(), history) if named is not None else None,
        LedgerFile(_own_file(run)) if run.context.surface == "azure-pipelines" else None,
    )
    facts = run.record.certificate
    if facts is None:
        raise AssertionError  # certsync has presented it
    pipeline, command = run.context.pipeline, run.settings.command
    engine = engine_for(run.settings, certificate)

    def begun(identifier: str, time: str) -> RunEntry:
        return RunEntry(
            run=identifier,
            time=time,
            tool=f"kspsign {VERSION}",
            command=command,
            engine=engine,
            key=key,
            certificate=certificate_record(facts),
            build=build,
            branch=(fit_text(pipeline.branch) or None) if pipeline is not None else None,
            requested_for=(fit_text(pipeline.requested_for) or None) if pipeline is not None else None,
        )

    monthly = MonthlyLimit(history, limit) if limit is not None else None
    old = run.shared.uses.begin(begun, ledgers.files, monthly, rotates=not key_is_fixed)
    if old is not None:
        run.record.rotation = RotationFacts(old.thumbprint, facts.thumbprint, old.not_after, facts.not_after)
        run.console.notice(
            f"the key's certificate changed since the run before: {facts.thumbprint} (until {facts.not_after}), "
            f"before {old.thumbprint} (until {old.not_after})"
        )


def certificate_record(facts: CertificateFacts) -> LedgerCertificate:
    """The certificate as the ledger keeps it."""
    return LedgerCertificate(
        thumbprint=facts.thumbprint,
        sha256=facts.sha256,
        subject=fit_text(facts.subject),
        serial=facts.serial,
        not_after=facts.not_after,
    )


def _fitted(build: BuildFacts | None) -> BuildFacts | None:
    """The build with texts that a line can hold."""
    if build is None:
        return None
    values: dict[str, Any] = {}
    for name, value in asdict(build).items():
        values[name] = fit_text(value) if isinstance(value, str) else value
    return BuildFacts(**values)


def ledger_facts(run: Run) -> LedgerFacts | None:
    """The report's part on the uses of the key; None where no key was opened to sign."""
    uses, ledgers = run.shared.uses, run.record.ledgers
    if ledgers is None:
        return None
    shared = ledgers.shared
    return LedgerFacts(
        run=uses.run,
        file=str(shared.path) if shared is not None else None,
        anchor=AnchorFacts(*shared.anchor) if shared is not None else None,
        asked=uses.asked,
        outcomes=dict(sorted(uses.outcomes.items())),
        rotation=run.record.rotation,
        month=_month(run, shared),
        uses=uses.shown,
    )


def _month(run: Run, shared: LedgerFile | None) -> MonthFacts | None:
    if shared is None or shared.history is None:
        return None
    now = datetime.now(UTC)
    month = f"{now:%Y-%m}"
    spent, forecast = shared.history.spent(month), shared.history.forecast(now)
    return MonthFacts(month, spent, run.settings.max_signatures_per_month, forecast)


def ledger_warnings(run: Run) -> tuple[RunWarning, ...]:
    """A warning where lines of the ledger are missing."""
    fault = run.shared.uses.fault
    if fault is None:
        return ()
    warning = RunWarning(
        "LEDGER_INCOMPLETE",
        f"signatures were made whose outcome is not in the ledger: {fault}",
        "Compare the report (ledger.uses) with the ledger, and give it a local disk with room.",
    )
    return (warning,)


def _own_file(run: Run) -> Path:
    """A file of this run alone, in the folder that the agent empties after the job."""
    parent = run.context.temp_folder.absolute() / "kspsign"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="ledger-", dir=parent)) / f"ledger-{run.shared.uses.run}.jsonl"
    except OSError as refused:
        raise ConfigurationError(
            f"can't create a folder for the ledger: {refused}",
            remedy="Give the agent's user write access to Agent.TempDirectory, and room on its disk.",
            file=str(parent),
        ) from refused
