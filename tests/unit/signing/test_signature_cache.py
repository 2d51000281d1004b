"""The signature cache: one signature for a digest, and one count, among threads that have files of their own open."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kspsign.model.errors import CancelledError, PrerequisiteError, SigningError
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.signing.budget import Budget
from kspsign.signing.signature_cache import SignatureCache, Tally, begin_count

ALGORITHM = DigestAlgorithm("sha256")
NAME, DIGEST = "AB" * 20, bytes(32)
GOING_ON = threading.Event()


def test_the_first_of_many_obtains_the_signature(tmp_path: Path) -> None:
    """The others wait, and find it with its chain."""
    obtained = []

    def obtain(number: int) -> RawSignature | None:
        with SignatureCache(tmp_path, NAME, GOING_ON).entry(DIGEST, ALGORITHM) as entry:
            if entry.signature() is None:
                obtained.append(number)
                entry.keep(RawSignature(ALGORITHM, b"signature", (b"leaf", b"root")))
            return entry.signature()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(obtain, range(24)))
    assert len(obtained) == 1
    assert set(found) == {RawSignature(ALGORITHM, b"signature", (b"leaf", b"root"))}


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"signature": "zz", "chain": []}', b'{"signature": 1}', b"[]", b"[" * 100_000]
)
def test_an_entry_that_was_cut_off_is_none(tmp_path: Path, content: bytes) -> None:
    """A run that was killed while it wrote leaves what the next one writes again."""
    cache = SignatureCache(tmp_path, NAME, GOING_ON)
    with cache.entry(DIGEST, ALGORITHM):
        pass
    (path,) = tmp_path.glob("*/*.json")
    path.write_bytes(content)
    with cache.entry(DIGEST, ALGORITHM) as entry:
        assert entry.signature() is None
        entry.keep(RawSignature(ALGORITHM, b"signature", None))
        assert entry.signature() == RawSignature(ALGORITHM, b"signature", None)


def test_the_limit_is_of_all_budgets_together(tmp_path: Path) -> None:
    """Not one more than the limit, however many take at the same time; what is given back can be taken again."""
    limit, taken, refused = 10, [], set()

    def take(_number: int) -> None:
        budget = Budget(limit, Tally(tmp_path, GOING_ON))
        try:
            budget.take()
        except SigningError as spent:
            refused.add(spent.code)
        else:
            taken.append(budget)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(40)))
    assert (len(taken), refused) == (limit, {"BUDGET_SPENT"})
    taken[0].give_back()
    take(0)
    take(0)
    assert len(taken) == limit + 1
    begin_count(tmp_path)
    take(0)
    assert len(taken) == limit + 2


def test_signatures_that_are_lost_count(tmp_path: Path) -> None:
    """They were made."""
    budget = Budget(3, Tally(tmp_path, GOING_ON))
    budget.lose(3)
    with pytest.raises(SigningError):
        budget.take()


def test_a_cancelled_run_does_not_wait(tmp_path: Path) -> None:
    """Nor does a folder that can't be used hold it up."""
    cancelled = threading.Event()
    cancelled.set()
    with SignatureCache(tmp_path, NAME, GOING_ON).entry(DIGEST, ALGORITHM):
        waiting = SignatureCache(tmp_path, NAME, cancelled).entry(DIGEST, ALGORITHM)
        with pytest.raises(CancelledError):
            waiting.__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(PrerequisiteError, match="can't be used"):
        Tally(tmp_path / "file", GOING_ON).take(None)
    (tmp_path / "spent").write_text("many", encoding="utf-8")
    with pytest.raises(PrerequisiteError, match="does not hold a number"):
        Tally(tmp_path, GOING_ON).take(None)


def test_the_count_is_never_shorter_than_before(tmp_path: Path) -> None:
    """A run that is killed while it counts must not leave an empty file, which would count from 0 again."""
    tally, sizes = Tally(tmp_path, GOING_ON), set[int]()
    for _ in range(11):
        assert tally.take(11)
        sizes.add((tmp_path / "spent").stat().st_size)
    tally.give_back()
    assert tally.take(11)
    assert not tally.take(11)
    assert len(sizes) == 1
