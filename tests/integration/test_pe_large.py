"""Two gigabytes are signed and verified without memory for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from integration.peimages import build_pe, parts
from integration.samples import Store

LIMIT_KIB = 150 * 1024
SIZE = 2 << 30


def peak_of(*arguments: object) -> int:
    """Peak resident memory of one run of kspsign, in KiB."""
    process = subprocess.Popen([sys.executable, "-m", "kspsign", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1)


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
