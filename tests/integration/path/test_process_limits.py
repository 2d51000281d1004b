"""Inputs and machines at their limits: a clear error with its cause, never a defect of the program."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.formats.peimages import build_pe
from support.samples import copy_launcher, kspsign

DEEP = {
    "lists": "[" * 100_000 + "]" * 100_000,
    "mappings": "a: " + "{a: " * 20_000 + "1" + "}" * 20_000,
    "blocks": "".join(" " * depth + "a:\n" for depth in range(600)),
    "unfinished": "[" * 250_000,
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("option", ["--config", "--policy"])
def test_yaml_of_any_depth_is_refused_at_once(tmp_path: Path, name: str, option: str) -> None:
    path, deep = copy_launcher(tmp_path), tmp_path / "deep.yml"
    deep.write_text(DEEP[name], encoding="ascii")
    started = time.monotonic()
    run = kspsign("verify", path, option, deep, folder=tmp_path)
    assert time.monotonic() - started < 20
    assert run.code == 3
    assert "more than 50 lists and mappings in each other" in run.text
    assert "deep.yml" in run.text
    assert "defect" not in run.text


@pytest.mark.parametrize("text", ["a: [" + "1," * 100_000 + "]", "".join(f"k{n}: 1\n" for n in range(20_000))])
def test_yaml_of_any_length_is_refused_at_once(tmp_path: Path, text: str) -> None:
    path, long = copy_launcher(tmp_path), tmp_path / "long.yml"
    long.write_text(text, encoding="ascii")
    started = time.monotonic()
    run = kspsign("verify", path, "--config", long, folder=tmp_path)
    assert time.monotonic() - started < 20
    assert (run.code, "keys and values" in run.text) == (3, True)


@pytest.mark.parametrize("mebibytes", [40, 56, 72, 88, 120])
def test_too_little_memory_is_said(tmp_path: Path, mebibytes: int) -> None:
    path, most = copy_launcher(tmp_path), mebibytes << 20

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "verify", path],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "ran out of memory" in done.stderr
    assert "ulimit -v" in done.stderr
    assert "defect" not in done.stderr


@pytest.mark.parametrize("mebibytes", [128, 144, 176])
@pytest.mark.parametrize("command", ["sign", "run", "timestamp"])
def test_too_little_memory_to_sign_is_said_at_once(tmp_path: Path, command: str, mebibytes: int) -> None:
    """With as little a library ends the process without a word, or reports a damaged file of certificates."""
    path, most = copy_launcher(tmp_path), mebibytes << 20
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", command, path, "--key-store", "embedded", "--store", tmp_path / "store"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"the limit is {mebibytes} MiB of address space" in done.stderr
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    path, most = tmp_path / "large.exe", 128 << 20
    path.write_bytes(build_pe())
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "verify", path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "TRUST_E_NOSIGNATURE" in done.stdout
