"""`timestamp` stamps every signature that lacks one: the first, appended and nested ones, and further table entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.formats.cab_samples import build_cab
from support.formats.peimages import build_pe
from support.formats.script_samples import script
from support.signing import Publisher

FILES = {
    "app.exe": build_pe(),
    "boot.efi": build_pe(subsystem=10),
    "data.cab": build_cab(),
    "run.ps1": script("ps1"),
}


def stamps(publisher: Publisher, path: Path) -> list[bool]:
    """Which of the file's signatures have a timestamp."""
    run = publisher.verify(path, "--no-timestamp")
    assert run.code == 0, run.text
    return [signature["timestamp"] is not None for signature in run.file["signatures"]]


@pytest.mark.parametrize("stamped", [(False,), (False, False), (True, False), (False, False, False)], ids=str)
@pytest.mark.parametrize("name", FILES)
def test_every_signature_that_lacks_a_timestamp_gets_one(
    name: str, stamped: tuple[bool, ...], publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    for number, has_stamp in enumerate(stamped):
        further = ("--append", "--description", f"number {number}") if number else ()
        run = publisher.sign(path, *further, stamped=has_stamp)
        assert run.code == 0, run.text
    assert sorted(stamps(publisher, path)) == sorted(stamped)
    assert publisher.verify(path).error_code == "TRUST_E_TIME_STAMP"
    run = publisher.stamp(path)
    assert (run.code, run.file["outcome"]) == (0, "signed"), run.text
    assert stamps(publisher, path) == [True] * len(stamped)
    assert publisher.verify(path).code == 0
    assert name == "boot.efi" or publisher.peer(path).accepted  # the peer reads one table entry
    before = path.read_bytes()
    assert publisher.stamp(path).file["outcome"] == "skipped"
    assert path.read_bytes() == before
