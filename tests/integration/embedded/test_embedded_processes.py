"""Processes that make the throw-away authority of one folder at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kspsign.embedded.authority import ROLES


def test_processes_at_once_end_with_one_authority(tmp_path: Path) -> None:
    program = (
        "import sys, hashlib, pathlib\n"
        "from kspsign.embedded.authority import load_or_create\n"
        "sys.stdin.readline()\n"
        "made = load_or_create(pathlib.Path(sys.argv[1]))\n"
        "numbers = [getattr(made, role).key.private_numbers().d for role in sys.argv[2:]]\n"
        "print(hashlib.sha256(repr((made.signing_chain, numbers)).encode()).hexdigest())\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "embedded"), *ROLES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [(error, code) for _, error, code in results] == [("", 0)] * 3
    assert len({output for output, _, _ in results}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["embedded"]
