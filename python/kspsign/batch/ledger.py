"""The ledgers of a run that signs: the file of --ledger, and in Azure Pipelines one of this run alone, to attach."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from kspsign.batch.run import Run
from kspsign.model.report import RunWarning

if TYPE_CHECKING:
    from kspsign.keys.protocol import SigningKey
    from kspsign.ledger.file import LedgerFile
    from kspsign.model.ledger_facts import LedgerFacts
    from kspsign.model.written_ledger import AnchorFacts, MonthFacts


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
    if run.settings.ledger is None and run.context.surface != "azure-pipelines":
        run.record.ledgers = RunLedgers()
        return
    from kspsign.batch.ledger_begin import begin_written_ledgers  # noqa: PLC0415 - takes long, and most runs write none

    begin_written_ledgers(run, signing)


def ledger_facts(run: Run) -> LedgerFacts | None:
    """The report's part on the uses of the key; None where no key was opened to sign."""
    uses, ledgers = run.shared.uses, run.record.ledgers
    if ledgers is None:
        return None
    from kspsign.model.ledger_facts import LedgerFacts  # noqa: PLC0415 - of runs that sign

    shared = ledgers.shared
    return LedgerFacts(
        run=uses.run,
        file=str(shared.path) if shared is not None else None,
        anchor=_anchor(shared) if shared is not None else None,
        asked=uses.asked,
        outcomes=dict(sorted(uses.outcomes.items())),
        rotation=run.record.rotation,
        month=_month(run, shared),
        uses=uses.shown,
    )


def _anchor(shared: LedgerFile) -> AnchorFacts:
    from kspsign.model.written_ledger import AnchorFacts  # noqa: PLC0415 - most runs write none

    return AnchorFacts(*shared.anchor)


def _month(run: Run, shared: LedgerFile | None) -> MonthFacts | None:
    if shared is None or shared.history is None:
        return None
    from kspsign.model.written_ledger import MonthFacts  # noqa: PLC0415 - most runs write none

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
