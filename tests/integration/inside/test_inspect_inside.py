"""`inspect --inside` lists what containers hold as `verify --inside` judges it, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from support.formats.nested import README, image, nuget, zipped
from support.inside import Worker
from support.samples import Run, kspsign


def inspect(worker: Worker, folder: Path, *options: object) -> Run:
    """What is in the folder."""
    return kspsign("inspect", ".", "--trust-root", worker.publisher.roots, *options, folder=folder, reported=False)


@pytest.fixture
def drop(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed archive with a package in it twice and a program; next to it a signed program."""
    made = tmp_path / "drop"
    made.mkdir()
    monkeypatch.chdir(made)
    package = nuget({"lib/x.dll": image(1)})
    content = {"bin/app.exe": image(2), "one.nupkg": package, "two/one.nupkg": package, "readme.txt": README}
    (made / "all.zip").write_bytes(zipped(content))
    (made / "all.zip-notes.dll").write_bytes(image(3))
    assert worker.sign(made).code == 0
    return made


def facts(run: Run) -> dict[str, Any]:
    """The files of what --json prints, by name; it keeps to the schema."""
    printed = json.loads(run.text)
    schema = json.loads(kspsign("schema", "inspect", folder=Path(), reported=False).text)
    jsonschema.validate(printed, schema, jsonschema.Draft202012Validator)
    return {file["path"]: file for file in printed["files"]}


def test_each_file_has_a_line_at_its_depth(worker: Worker, drop: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in drop.iterdir()}
    run = inspect(worker, drop, "--inside")
    assert run.code == 0, run.text
    lines = [line.split("  timestamp ")[0] for line in run.text.splitlines()]
    begin = lines.index("  inside      3 files, 1 more of no signable format")
    assert lines[begin + 1 : begin + 8] == [
        "  verified     pe     all.zip/bin/app.exe  signed by Test publisher",
        "  verified     nuget  all.zip/one.nupkg  signed by Test publisher",
        "    verified     pe     all.zip/one.nupkg/lib/x.dll  signed by Test publisher",
        "  verified     nuget  all.zip/two/one.nupkg  signed by Test publisher",
        "    verified     pe     all.zip/two/one.nupkg/lib/x.dll  signed by Test publisher",
        "",
        "all.zip-notes.dll",
    ]
    assert lines[-1] == "7 files: 7 verified, 0 failed"
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in drop.iterdir()} == before


def test_json_has_a_row_for_each_file_as_the_report(worker: Worker, drop: Path) -> None:
    unsigned = zipped({"bin/app.exe": image(2), "deep.zip": zipped({"in.nupkg": nuget({"y.dll": image(4)})})})
    (drop / "none.zip").write_bytes(unsigned)
    (drop / "torn.zip").write_bytes(zipped({"../up.dll": image(1)}))
    with zipfile.ZipFile(drop / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros.dll", bytes(200 << 20))
    run, verified = inspect(worker, drop, "--inside", "--json"), worker.verify(drop)
    assert (run.code, verified.code) == (2, 2)
    rows = facts(run)
    assert rows.keys() == verified.files.keys()
    for name, row in rows.items():
        told = verified.files[name]
        same = ("format", "size", "container", "inside", "verdict", "error")
        assert {key: row[key] for key in same} == {key: told[key] for key in same}
        assert [{**fact, "chain": []} for fact in row["signatures"]] == [
            {**fact, "chain": []} for fact in told["signatures"]
        ]
    assert rows["torn.zip"]["error"]["code"] == "ERROR_BAD_FORMAT"
    assert rows["bomb.zip"]["error"]["code"] == "ERROR_NOT_SUPPORTED"
    assert rows["none.zip/deep.zip/in.nupkg/y.dll"]["error"]["code"] == "TRUST_E_NOSIGNATURE"
    assert all(signature["chain"] for signature in rows["all.zip/one.nupkg/lib/x.dll"]["signatures"])
    shown = inspect(worker, drop, "--inside").text
    assert "      not trusted  pe     none.zip/deep.zip/in.nupkg/y.dll  not signed  TRUST_E_NOSIGNATURE" in shown


def test_patterns_choose_and_without_the_option_nothing_is_opened(worker: Worker, drop: Path) -> None:
    assert facts(inspect(worker, drop, "--json")).keys() == {"all.zip-notes.dll"}
    chosen = facts(inspect(worker, drop, "--json", "--inside=**/*.exe"))
    assert chosen.keys() == {"all.zip", "all.zip/bin/app.exe", "all.zip-notes.dll"}
    assert chosen["all.zip"]["inside"] == {"files": 1, "not_matched": 2, "not_signable": 1, "not_opened": ""}
    missing = inspect(worker, drop, "--inside=all.zip/gone.dll")
    assert (missing.code, "which is in no container" in missing.text) == (3, True)
    assert inspect(worker, drop, "--inside=false", "--inside=**").code == 3


def test_the_task_shows_the_same(worker: Worker, drop: Path) -> None:
    inputs = {"files": "*.zip", "inside": "true", "trustRoot": str(worker.publisher.roots), "folder": str(drop)}
    step = {"version": 1, "command": "inspect", "inputs": inputs, "secrets": {}, "variables": {}}
    command = [sys.executable, "-m", "kspsign", "task"]
    done = subprocess.run(command, input=json.dumps(step), capture_output=True, text=True, timeout=60, check=True)
    assert "    verified     pe     all.zip/two/one.nupkg/lib/x.dll  signed by Test publisher" in done.stdout
    assert done.stdout.endswith("6 files: 6 verified, 0 failed\n")


def test_nothing_is_left_in_the_folder_for_temporary_files(
    worker: Worker, drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setenv("RUNNER_TEMP", str(temp))
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    (drop / "torn.zip").write_bytes(zipped({"a.dll": image(1)[:200]}))
    assert inspect(worker, drop, "--inside").code == 2
    assert [*temp.iterdir()] == []
