"""Large images: without memory for them, whichever way they are copied."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

from kspsign.authenticode.io.snapshot import CHUNK, LARGE
from kspsign.signing.copies import EARLY_COPIES
from support.formats.peimages import build_pe, parts
from support.samples import Store, assert_no_leftovers, kspsign, osslsigncode_verify

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
        assert [file["outcome"] for file in run.report["files"]] == ["signed"] * (EARLY_COPIES + 3)
        for path in folder.iterdir():
            peer, data = osslsigncode_verify(path, store.root), path.read_bytes()
            assert peer.accepted, peer.text
            assert int.from_bytes(data[(at := parts(data).checksum) : at + 4], "little") == peer.calculated_checksum
    assert_no_leftovers(folder)


def test_a_file_that_another_writes_to_is_not_verified(store: Store, tmp_path: Path) -> None:
    """What is written is what stands there, and the time of modification is put back."""
    path = tmp_path / "installer.exe"
    path.write_bytes(build_pe(overlay=bytes(4 * LARGE)))
    sign = ("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
    assert kspsign(*sign, folder=tmp_path).code == 0
    state, begun, done = path.stat(), threading.Event(), threading.Event()

    def write() -> None:
        with path.open("r+b", buffering=0) as file:
            while not done.is_set():
                file.seek(state.st_size // 2)
                file.write(b"\0")
                os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
                begun.set()

    verify = ("verify", path, "--trust-root", store.root, "--no-timestamp")
    other = threading.Thread(target=write)
    other.start()
    assert begun.wait(30)
    try:
        run = kspsign(*verify, folder=tmp_path)
    finally:
        done.set()
        other.join()
    assert (run.code, run.error_code) == (6, "ERROR_SHARING_VIOLATION")
    assert run.file["sha256_after"] is None
    assert kspsign(*verify, folder=tmp_path).code == 0


def test_a_large_file_that_another_writes_to_all_the_time(store: Store, tmp_path: Path) -> None:
    """The two readings of one pass, and the copy read back, all find something else."""
    path = tmp_path / "installer.exe"
    path.write_bytes(build_pe(overlay=bytes(4 * LARGE)))
    size, done = path.stat().st_size, threading.Event()

    def write() -> None:
        with path.open("r+b", buffering=0) as file:
            for number in itertools.count():
                if done.is_set():
                    return
                file.seek(size - 1 - number * CHUNK % (4 * LARGE))
                file.write(bytes([1 + number % 255]))

    arguments = ("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
    other = threading.Thread(target=write)
    other.start()
    try:
        run = kspsign(*arguments, folder=tmp_path)
    finally:
        done.set()
        other.join()
    (file,) = run.report["files"]
    assert (run.code, file["error"]["code"]) == (6, "ERROR_SHARING_VIOLATION")
    assert "the file changed while it was read" in file["error"]["message"]
    assert path.stat().st_size == size
    assert not parts(path.read_bytes()[:4096]).table
    assert_no_leftovers(tmp_path)
    assert kspsign(*arguments, folder=tmp_path).code == 0
