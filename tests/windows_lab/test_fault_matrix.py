"""The fault matrix: `kspsign run` under Windows CPython with Microsoft's SignTool, one broken thing at a time.

Its table is docs/fault-matrix.md, which tools/write_fault_matrix.py writes from what these tests saw.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest
from write_fault_matrix import PAGE, ROWS, page

from windows_lab.building import BUILD
from windows_lab.fault_bench import Bench, Fault, Seen
from windows_lab.fault_list import FAULTS, GROUPS


@pytest.fixture(scope="module")
def see(bench: Bench) -> Callable[[Fault], Seen]:
    """What a fault comes to; each is injected once."""
    seen: dict[str, Seen] = {}
    return lambda fault: seen.get(fault.name) or seen.setdefault(fault.name, bench.see(fault))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(see: Callable[[Fault], Seen], fault: Fault) -> None:
    seen = see(fault)
    row = seen.row
    assert (row.exit_code, row.code) == (fault.exit_code, fault.code), seen.output
    assert fault.cause in row.cause
    assert fault.remedy in row.remedy
    assert (row.signed, row.untouched) == (fault.signed, fault.untouched), seen.output
    assert (row.paid, seen.counted) == (fault.paid, fault.paid), seen.output
    assert seen.lost == ()
    assert seen.left_over == ()


def test_the_published_table_is_what_was_seen(see: Callable[[Fault], Seen]) -> None:
    rows = {name: [asdict(see(fault).row) for fault in faults] for name, faults in GROUPS.items()}
    assert ROWS.parent == BUILD
    ROWS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert page(rows) == PAGE.read_text(encoding="utf-8"), "tools/write_fault_matrix.py writes it anew"
