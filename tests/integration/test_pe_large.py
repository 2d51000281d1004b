"""Two gigabytes are signed and verified without memory for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from integration.peimages import build_pe, parts
from integration.samples import Store

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
