"""The .vsix: reproducible, complete, and nothing in it that does not belong there."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.agent.extension import build_vsix, shared_vsix
from support.agent.package import install
from support.places import ROOT

TASK = "task/KspSign"


@pytest.fixture(scope="module")
def vsix() -> Path:
    """The extension, built for this interpreter."""
    return shared_vsix()


def test_the_same_input_gives_the_same_bytes(vsix: Path, tmp_path: Path) -> None:
    assert build_vsix(tmp_path).read_bytes() == vsix.read_bytes()


def test_the_parts_are_those_of_the_task(vsix: Path) -> None:
    with zipfile.ZipFile(vsix) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("extension.vsomanifest"))
    assert manifest["contributions"][0]["properties"]["name"] == TASK
    expected = {"task.json", "icon.png", "dist/index.js", "engine/__main__.py", "engine/bundle.py"}
    assert {f"{TASK}/{name}" for name in expected} <= names
    sources = {path.relative_to(ROOT / "python").as_posix() for path in (ROOT / "python" / "kspsign").rglob("*.py")}
    assert {f"{TASK}/engine/{name}" for name in sources} <= names


def test_nothing_is_packaged_that_is_not_run_or_owed(vsix: Path) -> None:
    with zipfile.ZipFile(vsix) as archive:
        names = archive.namelist()
    parts = [part for name in names for part in name.split("/")]
    assert not {"__pycache__", "tests", "node_modules", "_yaml"} & set(parts)
    assert not [name for name in names if name.endswith((".pyc", ".pyi", ".ts", ".map", ".env"))]


def test_every_bundled_package_brings_its_licence(vsix: Path) -> None:
    with zipfile.ZipFile(vsix) as archive:
        prefix = f"{TASK}/licenses/"
        licensed = {name.removeprefix(prefix).split("/")[0] for name in archive.namelist() if name.startswith(prefix)}
    lock = (ROOT / "python" / "lock" / "azure.txt").read_text(encoding="utf-8")
    locked = {line.split("==")[0].replace("-", "_") for line in lock.splitlines() if "==" in line}
    assert locked - {name.lower() for name in licensed} == set()
    assert "azure-pipelines-task-lib" in licensed


def test_the_unpacked_engine_runs_by_itself_and_knows_its_version(vsix: Path, tmp_path: Path) -> None:
    engine = install(vsix, tmp_path, "KspSign").folder / "engine"
    command = [sys.executable, "-I", "-B", "-X", "utf8", str(engine), "--version"]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, cwd=tmp_path, env={})
    version = json.loads((ROOT / "vss-extension.json").read_text(encoding="utf-8"))["version"]
    assert version in run.stdout


def test_libraries_come_from_the_package_alone(vsix: Path, tmp_path: Path) -> None:
    engine = install(vsix, tmp_path, "KspSign").folder / "engine"
    names = ("cryptography.hazmat.bindings._rust", "pydantic_core._pydantic_core", "yaml", "urllib3")
    program = (
        "import importlib, sys\n"
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        f"sys.path.insert(0, {str(engine)!r})\n"
        "from bundle import library_folders\nfrom pathlib import Path\n"
        f"sys.path[1:1] = library_folders(Path({str(engine)!r}))\n"
        f"print('\\n'.join(importlib.import_module(name).__file__ for name in {names!r}))\n"
    )
    run = subprocess.run([sys.executable, "-I", "-B", "-c", program], capture_output=True, text=True, check=True)
    assert [Path(line).is_relative_to(engine / "lib") for line in run.stdout.splitlines()] == [True] * len(names)
