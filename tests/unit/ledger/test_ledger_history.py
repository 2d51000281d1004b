"""What the ledger says of the past: a month's signatures of a definition, and the certificate before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kspsign.ledger.entries import KeyFacts, LedgerCertificate
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.history import LedgerHistory, MonthlyLimit
from kspsign.ledger.read import read_ledger
from kspsign.model.errors import PrerequisiteError
from support.ledgers import build, certificate, run_entry, use_entries, write_ledger

KEY = KeyFacts(store="azure-key-vault", alias="code-signing")


def opened(path: Path) -> tuple[LedgerFile, LedgerHistory]:
    history = LedgerHistory(build(99), KEY)
    return LedgerFile(path, history), history


def test_a_month_counts_what_the_definition_spent_or_may_have_spent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [run_entry(1), *use_entries(1, "a"), *use_entries(1, "b", outcome="lost")])
    write_ledger(path, use_entries(1, "c", outcome="refused"))
    write_ledger(path, use_entries(1, "d", time="2026-02-28T23:59:59.999Z"))
    write_ledger(path, [run_entry(2, build=None), *use_entries(2, "e")])
    ledger, history = opened(path)
    ledger.append(run_entry(3))
    assert (history.spent("2026-03"), history.spent("2026-02"), history.spent("2026-01")) == (2, 1, 0)
    assert history.forecast(datetime(2026, 3, 11, tzinfo=UTC)) == round(2 * 31 / 10)


def test_jobs_at_the_same_time_count_together(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    (one, history), (other, _history) = opened(path), opened(path)
    limit = MonthlyLimit(history, 2)
    one.append(run_entry(1))
    other.append(run_entry(2))
    one.append(use_entries(1, "a")[0], lambda: limit.check("2026-03"))
    other.append(use_entries(2, "b")[0])
    with pytest.raises(PrerequisiteError, match="limit of 2 signatures in 2026-03 is used up"):
        one.append(use_entries(1, "c")[0], lambda: limit.check("2026-03"))
    one.append(use_entries(2, "b", outcome="refused")[-1])
    one.append(use_entries(1, "c")[0], lambda: limit.check("2026-03"))
    assert read_ledger(path).faults == ()
    assert history.spent("2026-03") == 2


def test_the_certificate_before_is_that_of_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [run_entry(1), run_entry(2, key=KeyFacts(store="pkcs12"), certificate=certificate("two"))])
    ledger, history = opened(path)
    seen: list[LedgerCertificate | None] = []
    ledger.append(run_entry(3, certificate=certificate("new")), lambda: seen.append(history.certificate))
    assert seen == [certificate()]
    assert history.certificate == certificate("new")


def test_nothing_is_counted_by_a_ledger_with_a_break(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [run_entry(1), *use_entries(1, "a"), *use_entries(1, "b")])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[4:]]))
    with pytest.raises(PrerequisiteError, match=r"damaged.*near line 3.*missing"):
        opened(path)[0].append(run_entry(2))
    path.write_bytes(b"".join(lines)[:-9])
    ledger, history = opened(path)
    ledger.append(run_entry(2))
    assert (history.spent("2026-03"), [fault.kind for fault in read_ledger(path).faults]) == (2, ["torn"])


@pytest.mark.parametrize("junk", [b"x", b"{}", b"\0" * 200, b'{"schema":"kspsign.ledger/1","number":9}', b""])
@pytest.mark.parametrize("kept", range(4))
@pytest.mark.parametrize("end", [b"\n", b""])
def test_lines_that_were_overwritten_are_not_read_as_nothing_spent(
    tmp_path: Path, junk: bytes, kept: int, end: bytes
) -> None:
    """Even as the last ones, where no line after them breaks the chain."""
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [run_entry(), *use_entries(1, "a.dll")])
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:kept], *[junk + b"\n"] * (len(lines) - kept - 1), junk + end])
    path.write_bytes(damaged)
    if not junk and not end and kept == len(lines) - 1:
        return  # only cut off: an anchor finds that
    ledger = LedgerFile(path, LedgerHistory(build(), run_entry().key))
    with pytest.raises(PrerequisiteError, match="damaged") as refused:
        ledger.append(run_entry(2))
    assert refused.value.code == "LEDGER_DAMAGED"
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("left", [1, 20, 100, 200, -40, -1])
def test_a_line_that_a_full_disk_cut_off_stops_no_run(tmp_path: Path, left: int) -> None:
    path = tmp_path / "ledger.jsonl"
    write_ledger(path, [run_entry(), *use_entries(1, "a.dll")])
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, last[:left]]))
    history = LedgerHistory(build(), run_entry().key)
    LedgerFile(path, history).append(run_entry(2))
    assert history.spent("2026-03") == 1
