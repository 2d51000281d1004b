"""The journal: what a run leaves, the next one finds; nothing hostile in it does harm, and nothing is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kspsign.concurrency.single_flight import SingleFlight
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.signing.journal import KEPT_SECONDS, Journal, is_current
from support.pki import signer

SHA256 = DigestAlgorithm.SHA256
OURS, THEIRS = "A" * 40, "B" * 40


def signature(number: int) -> RawSignature:
    return RawSignature(SHA256, number.to_bytes(384), request_id=f"request-{number}")


def digest(number: int) -> bytes:
    return number.to_bytes(32)


def killed_run(folder: Path, *numbers: int, thumbprint: str = OURS, done: tuple[int, ...] = ()) -> None:
    """A run that obtains signatures and ends without a word, in a process of its own."""

    def work() -> None:
        with Journal(folder, thumbprint) as journal:
            for number in numbers:
                journal.add(digest(number), signature(number))
            for number in done:
                journal.done(digest(number), SHA256)
            os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_killed_run_leaves_what_is_in_no_file(tmp_path: Path) -> None:
    killed_run(tmp_path, 1, 2, 3, done=(2,))
    with Journal(tmp_path, OURS) as journal:
        found = [journal.find(digest(number), SHA256) for number in (1, 2, 3)]
        assert found == [signature(1), None, signature(3)]
        assert journal.find(digest(1), DigestAlgorithm.SHA384) is None
        for number in (1, 3):
            journal.done(digest(number), SHA256)
    assert list(tmp_path.iterdir()) == [], "all have served"


def test_what_a_killed_run_had_in_its_files_is_removed(tmp_path: Path) -> None:
    killed_run(tmp_path, 1, 2, done=(1, 2))
    with Journal(tmp_path, OURS) as journal:
        assert journal.find(digest(1), SHA256) is None
    assert list(tmp_path.iterdir()) == []


def test_a_signature_that_a_file_has_was_served(tmp_path: Path) -> None:
    killed_run(tmp_path, 1, 2)
    with Journal(tmp_path, OURS) as journal:
        journal.served(signature(2).value)
        journal.served(signature(3).value)
        assert journal.inherited
    with Journal(tmp_path, OURS) as journal:
        assert [journal.find(digest(number), SHA256) for number in (1, 2)] == [signature(1), None]
        journal.served(signature(1).value)
        assert not journal.inherited
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_run_has_not_locked_yet_is_left(tmp_path: Path) -> None:
    newborn, forgotten = tmp_path / f"{OURS}-1.journal", tmp_path / f"{OURS}-2.journal"
    newborn.touch()
    forgotten.touch()
    os.utime(forgotten, (time.time() - 7200,) * 2)
    with Journal(tmp_path, OURS):
        pass
    assert list(tmp_path.iterdir()) == [newborn]


def test_what_is_not_asked_for_is_handed_on(tmp_path: Path) -> None:
    killed_run(tmp_path, 1, 2)
    for _ in range(3):
        with Journal(tmp_path, OURS) as journal:
            assert journal.find(digest(2), SHA256) == signature(2)
        assert len(list(tmp_path.iterdir())) == 1


def test_each_certificate_has_its_own(tmp_path: Path) -> None:
    killed_run(tmp_path, 1, thumbprint=THEIRS)
    with Journal(tmp_path, OURS) as journal:
        assert journal.find(digest(1), SHA256) is None
    assert len(list(tmp_path.iterdir())) == 1


def test_runs_side_by_side_share_it(tmp_path: Path) -> None:
    with Journal(tmp_path, OURS) as first:
        first.add(digest(1), signature(1))
        with Journal(tmp_path, OURS) as second:
            assert second.find(digest(1), SHA256) == signature(1)
            second.add(digest(2), signature(2))
            second.done(digest(2), SHA256)
        assert len(list(tmp_path.iterdir())) == 1, "the first one's, which still runs"
        first.add(digest(3), signature(3))
    with Journal(tmp_path, OURS) as third:
        assert [third.find(digest(number), SHA256) for number in (1, 2, 3)] == [signature(1), None, signature(3)]


def test_journals_of_other_machines_are_copied_in(tmp_path: Path) -> None:
    for name, number in (("one", 1), ("two", 2)):
        killed_run(tmp_path / name / "journal", number)
    with Journal(tmp_path, OURS) as journal:
        assert [journal.find(digest(number), SHA256) for number in (1, 2)] == [signature(1), signature(2)]


@pytest.mark.parametrize("size", range(2, 60, 7))
def test_a_line_that_was_cut_off_costs_itself_alone(tmp_path: Path, size: int) -> None:
    killed_run(tmp_path, 1, 2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-size])
    with Journal(tmp_path, OURS) as journal:
        assert [journal.find(digest(number), SHA256) for number in (1, 2)] == [signature(1), None]


def test_bytes_that_are_no_entry_are_passed_over(tmp_path: Path) -> None:
    killed_run(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    hostile = [
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"digest": 7}',
        b'{"digest": "zz", "algorithm": "sha256"}',
        b"{" * 9999,
    ]
    path.write_bytes(b"\n".join([*hostile, path.read_bytes(), *hostile]))
    with Journal(tmp_path, OURS) as journal:
        assert journal.find(digest(1), SHA256) == signature(1)


def test_old_entries_are_dropped(tmp_path: Path) -> None:
    killed_run(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    entry = json.loads(path.read_bytes())
    path.write_text(json.dumps({**entry, "time": entry["time"] - KEPT_SECONDS - 1}) + "\n", encoding="utf-8")
    with Journal(tmp_path, OURS):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Journal(tmp_path / "file" / "journal", OURS) as journal:
        journal.add(digest(1), signature(1))
        assert journal.fault is not None


def test_the_chain_of_a_signature_is_kept_with_it(tmp_path: Path) -> None:
    own = RawSignature(SHA256, b"value", (b"leaf", b"issuer"))
    with Journal(tmp_path, OURS) as journal:
        journal.add(digest(1), own)
        journal.add(digest(2), signature(2))
    for _ in range(2):  # also after another run took it over
        with Journal(tmp_path, OURS) as journal:
            assert journal.find(digest(1), SHA256) == own
            assert journal.find(digest(2), SHA256) == signature(2)


@pytest.mark.parametrize("chain", ["zz", [7], 7, [None], {"a": 1}])
def test_an_entry_whose_chain_is_none_is_passed_over(tmp_path: Path, chain: object) -> None:
    killed_run(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    entry = json.loads(path.read_bytes())
    path.write_text(json.dumps({**entry, "chain": chain}) + "\n", encoding="utf-8")
    with Journal(tmp_path, OURS) as journal:
        assert journal.find(digest(1), SHA256) is None


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b'"time": 1e999', b"\xff", b"[]"])
def test_a_line_that_is_none_of_ours_is_passed_over(tmp_path: Path, line: bytes) -> None:
    killed_run(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    entry = path.read_bytes()
    foreign = entry.replace(b'"time": ', b'"time": 1e999, "was": ') if line.startswith(b'"time"') else line + b"\n"
    path.write_bytes(foreign + entry)
    with Journal(tmp_path, OURS) as journal:
        assert journal.find(digest(1), SHA256) == signature(1)


@pytest.mark.parametrize(("left", "current"), [(timedelta(minutes=30), True), (timedelta(minutes=2), False)])
def test_a_signature_is_of_use_while_its_certificate_can_still_be_stamped(left: timedelta, current: bool) -> None:
    now = datetime.now(UTC)
    leaf = signer("Publisher", begin=now - timedelta(days=3), end=now + left)
    assert is_current(RawSignature(SHA256, b"value", (leaf.der,))) is current
    assert is_current(signature(1))
    assert not is_current(RawSignature(SHA256, b"value", (b"no certificate",)))


def test_looking_changes_nothing(tmp_path: Path) -> None:
    killed_run(tmp_path, 1)
    before = [(path.name, path.read_bytes()) for path in tmp_path.iterdir()]
    journal = Journal(tmp_path, OURS)
    journal.look()
    assert journal.find(digest(1), SHA256) == signature(1)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == before


def test_once_is_made_once_and_shares_failures_unless_they_may_be_tried_again() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        raise ValueError("refused")

    for retry, times in ((False, 1), (True, 3)):
        made.clear()
        once: SingleFlight[int] = SingleFlight(retry=retry)
        for _ in range(3):
            with pytest.raises(ValueError, match="refused"):
                once.get(b"key", make)
        assert len(made) == times
    bounded: SingleFlight[int] = SingleFlight(keep=2)
    assert [bounded.get(bytes([n]), lambda n=n: n) for n in (1, 2, 3)] == [1, 2, 3]  # type: ignore[misc]
    assert [bounded.get(bytes([n]), lambda: 0) for n in (3, 2, 1)] == [3, 2, 0]


def test_an_operation_is_kept_until_it_gives_a_signature(tmp_path: Path) -> None:
    with Journal(tmp_path, OURS) as journal:
        for number in (1, 2, 3):
            journal.begin(digest(number), SHA256, f"operation {number}")
        journal.add(digest(1), signature(1))
        journal.abandon(digest(2), SHA256)
    with Journal(tmp_path, OURS) as journal:
        assert [journal.find(digest(number), SHA256) for number in (1, 2, 3)] == [signature(1), None, None]
        assert [journal.operation(digest(number), SHA256) for number in (1, 2, 3)] == [None, None, "operation 3"]
        assert journal.operation(digest(3), DigestAlgorithm.SHA384) is None
        journal.served(b"")
    with Journal(tmp_path, OURS) as journal:  # handed on
        assert journal.operation(digest(3), SHA256) == "operation 3"
        journal.add(digest(3), signature(3))
        for number in (1, 3):
            journal.done(digest(number), SHA256)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("operation", ["", None, 7, ["x"]])
def test_an_operation_that_is_none_is_no_signature(tmp_path: Path, operation: object) -> None:
    entry = {"algorithm": "sha256", "digest": digest(1).hex(), "time": int(time.time()), "operation": operation}
    (tmp_path / f"{OURS}-1.journal").write_text(json.dumps(entry) + "\n", encoding="ascii")
    with Journal(tmp_path, OURS) as journal:
        found = journal.find(digest(1), SHA256)
        assert found is None
        assert journal.operation(digest(1), SHA256) is None


def killed_while_asking(folder: Path, *numbers: int, answered: tuple[int, ...] = ()) -> None:
    """A run that is killed after it asked for signatures, and saw the answers to some."""

    def work() -> None:
        with Journal(folder, OURS) as journal:
            for number in numbers:
                journal.ask(digest(number), SHA256)
            for number in answered:
                journal.add(digest(number), signature(number))
            os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_request_whose_answer_was_not_seen_is_named_until_it_was_reported(tmp_path: Path) -> None:
    killed_while_asking(tmp_path, 1, 2, 3, answered=(2,))
    killed_while_asking(tmp_path, 1)  # takes over what the first left, and loses the same again
    with Journal(tmp_path, OURS) as journal:
        assert sorted(request.key.digest for request in journal.lost) == [digest(number).hex() for number in (1, 1, 3)]
        assert [journal.find(digest(number), SHA256) for number in (1, 2, 3)] == [None, signature(2), None]
        assert journal.operation(digest(1), SHA256) is None
    with Journal(tmp_path, OURS) as journal:  # whose file is there for 2
        assert journal.lost == []
        journal.done(digest(2), SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_request_of_a_run_that_goes_on_is_not_lost(tmp_path: Path) -> None:
    with Journal(tmp_path, OURS) as first:
        first.ask(digest(1), SHA256)
        with Journal(tmp_path, OURS) as second:
            assert second.lost == []
        first.abandon(digest(1), SHA256)
    assert list(tmp_path.iterdir()) == []
