"""What is merged of the slices' times and chains: moments of one run, each certificate once."""

from __future__ import annotations

from dataclasses import replace

from kspsign.batch.merge import merged_report
from kspsign.model.run_facts import SliceFacts
from support.ui.reports import report_of


def test_moments_count_from_the_first_start_and_certificates_are_there_once() -> None:
    whole = report_of(4)
    slices = [
        (
            SliceFacts(number, 2, 4, "00" * 32),
            replace(
                whole,
                started=started,
                slice=SliceFacts(number, 2, 4, "00" * 32),
                files=whole.files[2 * (number - 1) : 2 * number],
                totals=replace(whole.totals, matched=2, signed=2, verified=2, signatures_used=2),
            ),
        )
        for number, started in ((1, "2026-11-20T10:00:00Z"), (2, "2026-11-20T10:01:30Z"))
    ]
    merged = merged_report(replace(report_of(0), command="merge", error=None), slices)
    assert merged.started == "2026-11-20T10:00:00Z"
    assert [file.began for file in merged.files] == [0.4, 0.4, 90.4, 90.4]
    assert merged.certificates == whole.certificates
    assert merged.max_signatures == 1000
