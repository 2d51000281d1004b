"""Large images: without memory for them, whichever way they are copied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from integration.peimages import build_pe, parts
from integration.samples import Store, assert_no_leftovers, kspsign, osslsigncode_verify
from kspsign.authenticode.reading import LARGE
from kspsign.signing.copies import EARLY_COPIES

LIMIT_KIB = 150 * 1024
SIZE = 2 << 30


MEASURE = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "kspsign", *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_of(*arguments: object) -> int:
    """Peak resident memory of one run of kspsign, in KiB.

    A small process starts it: a child's peak counts from its parent's size, and the tests' process is large.
    """
    shown = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return int(shown.stdout) // (1024 if sys.platform == "darwin" else 1)


def test_two_gigabytes_in_150_mb_of_memory(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "installer.exe"
    path.write_bytes(build_pe(overlay=b"payload"))
    with path.open("r+b") as file:
        file.truncate(SIZE)
    signing = peak_of("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder)
    assert signing < LIMIT_KIB
    with path.open("rb") as file:
        found = parts(file.read(4096))
    assert found.table == SIZE
    assert path.stat().st_size == SIZE + found.table_size
    assert peak_of("verify", path, "--trust-root", store.root) < LIMIT_KIB
    path.unlink()


def test_more_large_files_than_may_have_an_early_copy(store: Store, tmp_path: Path) -> None:
    """Hashed and copied in one pass, or copied later; signed afresh, in place of a signature and beside one."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for number in range(EARLY_COPIES + 3):
        size = LARGE + number * 4097
        (folder / f"{number}.exe").write_bytes(build_pe(overlay=bytes([number]) * size))
    for options in ((), ("--replace",), ("--append", "--digest", "sha384"), ("--replace",)):
        arguments = ("--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp", *options)
        run = kspsign("sign", folder, *arguments, folder=tmp_path)
        assert [each["outcome"] for each in run.report["files"]] == ["signed"] * (EARLY_COPIES + 3)
        for path in folder.iterdir():
            peer, data = osslsigncode_verify(path, store.root), path.read_bytes()
            assert peer.accepted, peer.text
            assert int.from_bytes(data[(at := parts(data).checksum) : at + 4], "little") == peer.calculated_checksum
    assert_no_leftovers(folder)
