"""Batches against one SignTool process per file, in the lab: `python tests/bench/windows_batches.py`; a line each, then
with a KSP that takes a second."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from windows_lab.building import build_lab, install_engine
from windows_lab.machine import Windows

FILES, KSP_MILLISECONDS = 64, 1000
TOOL_ENV = ("--tool-env", "WINLAB", "--tool-env", "WINLAB_STATE", "--tool-env", "WINLAB_TSA_URL")


def main() -> None:
    """Sign the same files both ways, each verified by SignTool."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        windows = Windows(build_lab(), place / "windows", install_engine(place / "engine"))
        (place / "windows").mkdir(exist_ok=True)
        windows.boot()
        command = windows.command("tsa", "0")
        server = subprocess.Popen(command, env=windows.linux_environment(), stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().decode("ascii").strip()
            print("| what | s |\n|---|---:|")
            print(f"| one SignTool process per file: sign, verify; {FILES} files | {_one_by_one(windows, url):.1f} |")
            print(f"| kspsign, batches: sign, stamp, verify, replace; {FILES} files | {_batches(windows, url):.1f} |")
            windows.fault("ksp.sign", f"slow={KSP_MILLISECONDS}*")
            seconds = _one_by_one(windows, url, FILES // 8) * 8
            print(f"| the same from {FILES // 8} files, a KSP of {KSP_MILLISECONDS} ms | {seconds:.1f} |")
            print(f"| kspsign, batches, a KSP of {KSP_MILLISECONDS} ms | {_batches(windows, url):.1f} |")
        finally:
            server.terminate()
            server.wait(10)
            windows.shut_down()


def _programs(windows: Windows) -> list[Path]:
    return [windows.program(f"in/app{number}.exe") for number in range(FILES)]


def _one_by_one(windows: Windows, url: str, count: int = FILES) -> float:
    key = windows.certsync("Contoso-Release")
    files = _programs(windows)[:count]
    started = time.perf_counter()
    for path in files:
        sign = ("sign", "/sha1", key.thumbprint, "/s", "My", "/fd", "SHA256", "/tr", url, "/td", "SHA256", path)
        for arguments in (sign, ("verify", "/pa", "/all", "/tw", path)):
            ended = windows.signtool(*arguments)
            if ended.exit_code:
                raise SystemExit(ended.output)
    return time.perf_counter() - started


def _batches(windows: Windows, url: str) -> float:
    _programs(windows)
    started = time.perf_counter()
    ended = windows.kspsign(
        *("run", "in", "--key-store", "windows", "--keypair-alias", "Contoso-Release", "--timestamp-url", url),
        *(*TOOL_ENV, "--trust-root", windows.trust_root, "--store", "store", "--report", "report.json"),
    )
    seconds = time.perf_counter() - started
    report = json.loads((windows.folder / "report.json").read_text(encoding="utf-8"))
    if ended.exit_code or report["totals"]["signatures_used"] != FILES:
        raise SystemExit(ended.output)
    return seconds


if __name__ == "__main__":
    main()
