"""An installation from source without Node: all but the page works, and the page is refused before any signature."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import ROOT
from support.samples import copy_launcher


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as git has it; with what Python compiled, which saves doing so again."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(ROOT / "python" / "kspsign", folder / "kspsign", ignore=shutil.ignore_patterns("page.html"))
    return folder


def run_sources(sources: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What that installation says."""
    command = [
        sys.executable,
        "-c",
        "import sys; from kspsign.cli import entry; sys.exit(entry())",
        *map(str, arguments),
    ]
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)


def test_the_page_is_refused_before_a_file_is_touched(sources: Path, tmp_path: Path) -> None:
    program = copy_launcher(tmp_path)
    before = program.read_bytes()
    store, page = tmp_path / "store", tmp_path / "page.html"
    said = run_sources(sources, "run", program, "--key-store", "embedded", "--store", store, "--html", page)
    assert said.returncode == 5
    assert "make page" in said.stdout + said.stderr
    assert not page.exists()
    assert program.read_bytes() == before


def test_the_demo_leaves_it_out(sources: Path, tmp_path: Path) -> None:
    said = run_sources(sources, "demo", tmp_path / "demo")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].startswith("Results: ")
    assert not (tmp_path / "demo" / "signatures.html").exists()
