"""The doctor's look at the ledger: that its chain holds, and what the month comes to at this rate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from kspsign.keys.prerequisites import Prerequisite, failed, passed, warned
from kspsign.ledger.entries import KeyFacts
from kspsign.ledger.history import LedgerHistory
from kspsign.ledger.read import read_ledger
from kspsign.model.errors import KspSignError
from kspsign.model.plurals import count
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings

_LEDGER = "ledger"
_KEEP = "Find out who changed the file and keep it as evidence; name a new file with --ledger."
_SLOWER = "Raise --max-signatures-per-month, or sign less: identical files and a signature cache cost nothing."


def ledger_checks(settings: Settings, context: RunContext) -> Iterator[Prerequisite]:
    """What --ledger holds, where it is given. Reads the file and changes nothing."""
    path, limit = settings.ledger, settings.max_signatures_per_month
    if path is None:
        return
    if not path.exists():
        yield passed(_LEDGER, f"{path} is not there yet: the first run writes it")
        return
    try:
        ledger = read_ledger(path)
    except KspSignError as error:
        yield failed(_LEDGER, error)
        return
    if ledger.faults:
        first = ledger.faults[0]
        more = f" ({len(ledger.faults)} breaks)" if len(ledger.faults) > 1 else ""
        yield warned(_LEDGER, f"{path}: the chain is broken near line {first.line}: {first.message}{more}", _KEEP)
    history = LedgerHistory(context.build, KeyFacts(store=""))
    for entry in ledger.entries:
        history.feed(entry)
    now = datetime.now(UTC)
    spent, forecast = history.spent(f"{now:%Y-%m}"), history.forecast(now)
    made = count(spent, "signature") if limit is None else f"{spent} of {count(limit, 'signature')}"
    whose = f"of {context.build.definition}" if context.build else "outside a pipeline"
    said = f"{path}: line {ledger.anchor.number}; {made} {whose} in {now:%Y-%m}, {forecast} by its end"
    if limit is not None and forecast > limit:
        yield warned(_LEDGER, said, _SLOWER)
    else:
        yield passed(_LEDGER, said)
