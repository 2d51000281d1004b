"""What people are told of the progress of a run."""

from __future__ import annotations

from kspsign.publishing.progress import Meter, Progress


def test_it_counts_files_and_bytes() -> None:
    meter = Meter(4, 1000)
    meter.add(100)
    meter.add(200)
    progress = meter.read((("key store", 2),))
    assert (progress.files_done, progress.bytes_done, progress.percent) == (2, 300, 50)
    assert progress.waiting_text == "key store (2)"
    assert progress.rate is None, "nothing is said of a rate before there is one"


def test_the_text_leaves_out_what_is_unknown() -> None:
    assert Progress(0, 1, 0, 0).text == "0 of 1 file"
    assert Progress(1, 3, 10**6, 3 * 10**6, 0.5, 4.0).text == "1 of 3 files, 1.0 of 3.0 MB, 0.5 files/s, 0:04 left"
    assert Progress(0, 0, 0, 0).percent == 100
