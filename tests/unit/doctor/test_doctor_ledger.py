"""What the doctor says of the ledger: its chain, and what the month comes to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kspsign.doctor.ledger import ledger_checks
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings
from support.ledgers import run_entry, use_entries, write_ledger

THIS_MONTH = datetime.now(UTC).strftime("%Y-%m-01T00:00:00.000Z")


@pytest.mark.parametrize(("limit", "state"), [(None, "ok"), (10**6, "ok"), (1, "warning")])
def test_a_forecast_by_the_ledger(limit: int | None, state: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    uses = [entry for name in ("a", "b") for entry in use_entries(1, name, time=THIS_MONTH)]
    write_ledger(path, [run_entry(1, build=None, time=THIS_MONTH), *uses])
    (check,) = _checks(path, limit)
    assert (check[0], "2" in check[1], THIS_MONTH[:7] in check[1]) == (state, True, True)
    assert " outside a pipeline in " in check[1], "a definition's are counted apart"


def test_a_broken_chain_is_warned_of_and_another_file_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    assert [state for state, _said in _checks(path, None)] == ["ok"], "not there yet"
    assert not path.exists()
    write_ledger(path, [run_entry(1), *use_entries(1, "a")])
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    assert [state for state, _said in _checks(path, None)] == ["warning", "ok"]
    assert [state for state, _said in _checks(tmp_path, None)] == ["failed"]
    assert list(ledger_checks(Settings(), RunContext.from_environment({}, is_tty=False))) == []


def _checks(path: Path, limit: int | None) -> list[tuple[str, str]]:
    settings = Settings(ledger=path, max_signatures_per_month=limit)
    context = RunContext.from_environment({}, is_tty=False)
    return [(check.state, check.detail) for check in ledger_checks(settings, context)]
