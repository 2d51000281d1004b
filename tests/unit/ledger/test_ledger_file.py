"""A ledger's file: what is written is read again, by any number of writers, and no change stays unseen."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from kspsign.ledger.chain import LedgerAnchor, digest_of
from kspsign.ledger.entries import GENESIS, ledger_schema
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.history import LedgerHistory
from kspsign.ledger.read import Ledger, key_uses, read_ledger
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from support.ledgers import build, run_entry, use_entries, write_ledger


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Ten lines: a run and three uses of its key."""
    path = tmp_path / "signatures.jsonl"
    entries = [entry for name in ("a.exe", "b.dll", "c.msi") for entry in use_entries(1, name)]
    write_ledger(path, [run_entry(1), *entries])
    return path


def test_what_is_written_is_read(written: Path) -> None:
    ledger = read_ledger(written)
    assert ledger.faults == ()
    assert ledger.anchor == LedgerAnchor(10, digest_of(written.read_bytes().splitlines()[-1]))
    assert [(use.files, use.outcome, use.run) for use in key_uses(ledger.entries)] == [
        ((name,), "embedded", run_entry(1)) for name in ("a.exe", "b.dll", "c.msi")
    ]


def test_the_schema_describes_each_line(written: Path) -> None:
    validator = jsonschema.Draft202012Validator(ledger_schema())
    lines = [json.loads(line) for line in written.read_bytes().splitlines()]
    assert lines[0]["previous"] == GENESIS
    for line in lines:
        validator.validate(line)
    assert not validator.is_valid({**lines[0], "secret": "x"})
    assert not validator.is_valid({**lines[0], "entry": {**lines[0]["entry"], "kind": "other"}})


def test_a_later_run_goes_on_with_the_chain(written: Path) -> None:
    write_ledger(written, [run_entry(2), *use_entries(2, "d.exe")])
    ledger = read_ledger(written)
    assert (ledger.faults, ledger.anchor.number, len(key_uses(ledger.entries))) == ((), 14, 4)


def _write(path: Path, run: int) -> None:
    write_ledger(path, [run_entry(run), *(entry for name in range(50) for entry in use_entries(run, str(name)))])


def test_jobs_at_the_same_time_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "ledger.jsonl"
    jobs = [multiprocessing.get_context("spawn").Process(target=_write, args=(path, run)) for run in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    ledger = read_ledger(path)
    uses = key_uses(ledger.entries)
    assert (ledger.faults, ledger.anchor.number, len(uses)) == ((), 4 * 151, 200)
    assert {use.run.run for use in uses if use.run} == {run_entry(run).run for run in range(4)}


def _changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4].replace(b"b.dll", b"x.dll"), *lines[5:]]


_TAMPERING: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[tuple[int, str]]]] = {
    "a line is changed": (_changed, [(6, "changed")]),
    "a line is dropped": (lambda lines: lines[:4] + lines[5:], [(5, "dropped")]),
    "the first line is dropped": (lambda lines: lines[1:], [(1, "dropped")]),
    "two lines change places": (
        lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
        [(5, "dropped"), (6, "reordered"), (7, "dropped")],
    ),
    "a line is repeated": (lambda lines: [*lines[:5], lines[4], *lines[5:]], [(6, "reordered")]),
    "a line is added": (
        lambda lines: [*lines[:5], b"{}\n", *lines[5:]],
        [(6, "unreadable")],
    ),
    "the end of the last line is cut off": (lambda lines: [*lines[:-1], lines[-1][:-9]], [(10, "torn")]),
}


@pytest.mark.parametrize("name", _TAMPERING)
def test_what_was_done_to_the_lines_is_found(name: str, written: Path) -> None:
    tamper, expected = _TAMPERING[name]
    written.write_bytes(b"".join(tamper(written.read_bytes().splitlines(keepends=True))))
    found = [(fault.line, fault.kind) for fault in read_ledger(written).faults]
    assert [fault for fault in expected if fault not in found] == [], found


def test_lines_cut_off_at_the_end_need_an_anchor(written: Path) -> None:
    whole = read_ledger(written).anchor
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:-3]))
    assert read_ledger(written).faults == (), "nothing in the rest says that more was there"
    assert [fault.kind for fault in read_ledger(written, [whole]).faults] == ["cut"]


def test_a_chain_that_was_computed_anew_needs_an_anchor(written: Path, tmp_path: Path) -> None:
    anchor = read_ledger(written).anchor
    forged = tmp_path / "forged.jsonl"
    write_ledger(forged, [run_entry(1), *(entry for name in ("x", "y", "z") for entry in use_entries(1, name))])
    assert read_ledger(forged).faults == ()
    assert [(fault.line, fault.kind) for fault in read_ledger(forged, [anchor]).faults] == [(10, "forged")]
    assert read_ledger(written, [anchor]).faults == ()


def test_a_line_that_was_cut_off_stays_as_evidence_and_the_chain_goes_on(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-40])
    write_ledger(written, use_entries(1, "d.exe"))
    ledger = read_ledger(written)
    assert [(fault.line, fault.kind) for fault in ledger.faults] == [(10, "torn")]
    assert ledger.anchor.number == 13


def test_nothing_is_added_to_what_is_not_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk\nbread\n")
    with pytest.raises(PrerequisiteError, match=r"notes\.txt.*damaged, or is not a ledger"):
        LedgerFile(path).append(run_entry())
    assert path.read_text() == "milk\nbread\n"


def test_a_ledger_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="the ledger can't be written") as refused:
        LedgerFile(tmp_path).append(run_entry())
    assert refused.value.code == "LEDGER_UNUSABLE"
    with pytest.raises(ConfigurationError, match=r"none\.jsonl: the ledger can't be read"):
        read_ledger(tmp_path / "none.jsonl")


def test_a_use_that_another_run_lost_is_one_use(tmp_path: Path) -> None:
    first = tmp_path / "first.jsonl"
    write_ledger(first, [run_entry(1), *use_entries(1, "a.exe", outcome=None)[:1]])
    later = tmp_path / "later.jsonl"
    lost = use_entries(1, "a.exe", outcome="lost")[-1]
    write_ledger(later, [run_entry(2), lost])
    both: list[Ledger] = [read_ledger(first), read_ledger(later)]
    (use,) = key_uses(entry for ledger in both for entry in ledger.entries)
    assert (use.outcome, use.run, use.files) == ("lost", run_entry(1), ("a.exe",))
    (alone,) = key_uses(both[1].entries)
    assert (alone.outcome, alone.run, alone.digest) == ("lost", None, use.digest)


@pytest.mark.parametrize(
    "name", [os.devnull, *(device for device in ("/dev/full", "/dev/zero") if Path(device).exists())]
)
def test_what_keeps_no_line_is_no_ledger(name: str) -> None:
    for history in (None, LedgerHistory(build(), run_entry().key)):
        with pytest.raises(PrerequisiteError, match="the ledger can't be written") as refused:
            LedgerFile(Path(name), history).append(run_entry())
        assert refused.value.code == "LEDGER_UNUSABLE"


def test_a_ledger_that_becomes_shorter_meanwhile_is_damaged(written: Path) -> None:
    ledger = LedgerFile(written, LedgerHistory(build(), run_entry().key))
    ledger.append(run_entry(2))
    cut = b"".join(written.read_bytes().splitlines(keepends=True)[:4])
    written.write_bytes(cut)
    with pytest.raises(PrerequisiteError, match="shorter") as refused:
        ledger.append(run_entry(3))
    assert (refused.value.code, written.read_bytes()) == ("LEDGER_DAMAGED", cut)
