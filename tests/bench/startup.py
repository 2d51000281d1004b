"""`make bench`: whole processes, interleaved, medians; each line beside its peer or its bound."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

ROUNDS = 15


def main() -> None:
    """Print one table: what was run, median seconds, the bound."""
    kspsign = [sys.executable, "-m", "kspsign"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "store"
        _run([*kspsign, "certsync", "--key-store", "embedded", "--store", str(store)])
        thumbprint = next((store / "certificates").iterdir()).name
        chain = (store / "certificates" / thumbprint / "chain.pem").read_text(encoding="ascii")
        (folder / "root.pem").write_text("-----BEGIN" + chain.rpartition("-----BEGIN")[2], encoding="ascii")
        target, output = folder / "target.exe", folder / "signed.exe"
        sign = [*kspsign, "sign", "--thumbprint", thumbprint, "--store", str(store), str(target)]
        osslsigncode = [
            "osslsigncode", "sign", "-certs", str(store / "embedded" / "leaf.pem"),
            "-key", str(store / "embedded" / "leaf.key"), "-h", "sha256", "-in", str(target), "-out", str(output),
        ]  # fmt: skip
        steps: dict[str, tuple[str, Callable[[], None]]] = {
            "python -c pass": ("the floor", lambda: _run([sys.executable, "-c", "pass"])),
            "kspsign --version": ("<= 0.25 s", lambda: _run([*kspsign, "--version"])),
            "kspsign sign, one file, timestamp, verified": ("<= 0.60 s", lambda: _fresh(target, sign)),
            "kspsign sign --no-timestamp, one file, verified": ("", lambda: _fresh(target, [*sign, "--no-timestamp"])),
            "osslsigncode sign, one file, no timestamp": ("peer", lambda: _fresh(target, osslsigncode, output)),
        }
        taken: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(ROUNDS):
            for step, (_, run) in steps.items():
                started = time.perf_counter()
                run()
                taken[step].append(time.perf_counter() - started)
    print(f"| whole process, median of {ROUNDS} interleaved runs | seconds | bound |\n|---|---|---|")
    for step, (bound, _) in steps.items():
        print(f"| {step} | {statistics.median(taken[step]):.3f} | {bound} |")


def _fresh(target: Path, command: list[str], output: Path | None = None) -> None:
    spec = find_spec("setuptools")
    assert spec is not None
    assert spec.origin is not None
    shutil.copyfile(Path(spec.origin).parent / "cli-64.exe", target)
    if output is not None:
        output.unlink(missing_ok=True)
    _run(command)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
