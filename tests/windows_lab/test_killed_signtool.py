"""SignTool dies in the middle of a batch: no file is lost, and what a retry can do is done in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from windows_lab.fault_bench import Bench, Fault, Seen
from windows_lab.faults import kill_signtool

FILES = tuple(f"app{number}.exe" for number in range(4))
INLINE = ("--timestamp-mode", "inline")


def signed(bench: Bench, faults: Mapping[str, str], more: tuple[str, ...] = (), **how: Any) -> Seen:
    """A run that signs four files with one SignTool process, all verified at the end and nothing left behind."""
    seen = bench.see(Fault("killed", 0, programs=FILES, faults=faults, more=more, **how))
    assert seen.row.exit_code == 0, seen.output
    assert (seen.row.signed, seen.lost, seen.left_over) == (4, (), ())
    return seen


@pytest.mark.parametrize(
    ("moment", "lost"), [("die", 0), ("die=made", 1), ("die=cut", 1), ("die=torn", 1), ("die=written", 0)]
)
def test_at_each_step(bench: Bench, moment: str, lost: int) -> None:
    """Before the signature and the timestamp, before each is in the file, twice while it is written, and after that;
    then while it verifies. A lost timestamp costs no signature."""
    faults = {"ksp.sign": f"ok {moment}", "signtool.timestamp": f"ok {moment}", "signtool.verify": "ok die die"}
    assert signed(bench, faults).row.paid == 4 + lost


@pytest.mark.parametrize(("moment", "lost"), [("die=unstamped", 0), ("die=torn", 1)])
def test_in_the_command_that_does_both(bench: Bench, moment: str, lost: int) -> None:
    """Between the signature and its timestamp, and while both are written."""
    assert signed(bench, {"ksp.sign": f"ok {moment}"}, INLINE).row.paid == 4 + lost


def test_by_another_hand_while_the_key_signs(bench: Bench) -> None:
    assert signed(bench, {"ksp.sign": "ok slow=60000"}, meanwhile=kill_signtool).row.paid == 4


def test_below_smctl(bench: Bench) -> None:
    faults = {"ksp.sign": "ok die=torn", "signtool.timestamp": "ok die=cut"}
    assert signed(bench, faults, ("--engine", "smctl")).row.paid == 5


def test_at_every_try_it_is_an_error_that_names_the_file_and_leaves_it(bench: Bench) -> None:
    seen = bench.see(Fault("killed", 6, programs=FILES, faults={"ksp.sign": "die=torn*"}, untouched=4))
    assert (seen.row.exit_code, seen.row.code) == (6, "SIGNTOOL_FAILED"), seen.output
    assert "ended with exit code 1 and said nothing" in seen.row.cause
    assert (seen.row.untouched, seen.lost, seen.left_over) == (4, (), ())
