"""Configuration files and outputs at the front door: what is read, what the log and the report say of it, and that no
run writes over what it works on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.github import document
from support.samples import Store, copy_launcher


@dataclass(frozen=True)
class Ended:
    code: int
    text: str


def start(*arguments: object, folder: Path, text: str = "", environment: Mapping[str, str] | None = None) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", *map(str, arguments)],
        cwd=folder, env={**os.environ, "COLUMNS": "200", **(environment or {})},
        input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout)


def report_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report.json").read_text(encoding="utf-8")))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def signed(signed_launcher: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "app.exe"
    path.write_bytes(signed_launcher)
    return path


class TestConfiguration:
    def test_a_named_file_serves_as_well_as_options(self, store: Store, tmp_path: Path) -> None:
        copy_launcher(tmp_path, to="app.exe")
        lines = ["files: ['*.exe']", f"thumbprint: {store.thumbprint}", f"store: {json.dumps(str(store.folder))}"]
        file = tmp_path / "sign.yml"
        file.write_text("\n".join([*lines, "report: report.json"]), encoding="utf-8")
        run = start("run", "--config", "sign.yml", folder=tmp_path)
        assert run.code == 0, run.text
        assert f"configuration sign.yml (sha256 {digest(file)})" in run.text
        report = report_of(tmp_path)
        assert report["files"][0]["outcome"] == "signed"
        assert report["configuration"] == {"name": "sign.yml", "sha256": digest(file), "ambient": False}

    def test_an_ambient_file_gives_harmless_settings_and_the_report_says_so(self, store: Store, tmp_path: Path) -> None:
        copy_launcher(tmp_path, to="app.exe")
        file = tmp_path / "kspsign.yml"
        file.write_text(f"files: ['*.exe']\nthumbprint: {store.thumbprint}\ndescription: Contoso\n", encoding="utf-8")
        run = start("sign", "--store", store.folder, "--report", "report.json", folder=tmp_path)
        assert run.code == 0, run.text
        assert f"configuration kspsign.yml (sha256 {digest(file)}), found in the working folder" in run.text
        assert report_of(tmp_path)["configuration"]["ambient"] is True

    def test_an_ambient_file_can_not_say_who_is_trusted(self, store: Store, signed: Path) -> None:
        folder = signed.parent
        (folder / "kspsign.yml").write_text(f"trust_root: [{json.dumps(str(store.root))}]\n", encoding="utf-8")
        run = start("verify", "app.exe", "--report", "report.json", folder=folder)
        assert (run.code, report_of(folder)["configuration"]) == (2, None), run.text
        assert "kspsign.yml in the working folder is not read" in run.text
        assert start("verify", "app.exe", "--config", "kspsign.yml", folder=folder).code == 0
        run = start("timestamp", "app.exe", folder=folder)
        assert run.code == 3
        assert "kspsign.yml: " in run.text
        assert "line 1: trust_root" in run.text
        assert "--config kspsign.yml" in run.text

    def test_an_ambient_file_runs_no_program(self, tmp_path: Path) -> None:
        copy_launcher(tmp_path, to="app.exe")
        spy = tmp_path / "spy.sh"
        spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n", encoding="utf-8")
        spy.chmod(0o755)
        (tmp_path / "kspsign.yml").write_text(f"signtool: {spy}\nsigntool_verify: true\nsmctl: {spy}\n", "utf-8")
        assert start("verify", "app.exe", folder=tmp_path).code == 2
        for command in ("run", "sign", "doctor"):
            assert start(command, "app.exe", folder=tmp_path).code == 3
        assert not (tmp_path / "ran").exists()

    def test_the_doctor_says_what_it_read(self, tmp_path: Path) -> None:
        (tmp_path / "kspsign.yml").write_text("jobs: 3\n", encoding="utf-8")
        shown = start("doctor", "--no-timestamp", folder=tmp_path)
        assert "configuration file: kspsign.yml (sha256 " in shown.text
        done = subprocess.run(
            [sys.executable, "-m", "kspsign", "doctor", "--no-timestamp", "--json"],
            cwd=tmp_path, capture_output=True, check=False, encoding="utf-8", timeout=60,
        )  # fmt: skip
        found = {check["name"]: check["detail"] for check in json.loads(done.stdout)["checks"]}
        assert found["configuration file"].startswith("kspsign.yml (sha256 ")


def task(folder: Path, command: str, **inputs: object) -> Ended:
    """As the task starts the engine."""
    variables = {"AGENT_TEMPDIRECTORY": str(folder / "temp")}
    document = {"version": 1, "command": command, "inputs": inputs, "secrets": {}, "variables": variables}
    return start("task", folder=folder, text=json.dumps(document))


def action(folder: Path, command: str, **inputs: str) -> Ended:
    """As the action starts it; an input that nobody gave is an empty text."""
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    environment = {
        "GITHUB_ACTIONS": "true",
        "RUNNER_TEMP": str(folder),
        "GITHUB_OUTPUT": str(folder / "output"),
    }
    text = document({"command": command, "policy": "", "trust-root": "", "config": "", **given}).decode()
    return start("action", folder=folder, text=text, environment=environment)


class TestTaskAndAction:
    @pytest.mark.parametrize("begin", [task, action])
    def test_what_lies_in_the_working_folder_decides_nothing(self, begin: Any, store: Store, signed: Path) -> None:
        folder = signed.parent
        trust = f"trust_root: [{json.dumps(str(store.root))}]\n"
        (folder / "kspsign.yml").write_text(trust + "report: app.exe\n", encoding="utf-8")
        before = digest(signed)
        run = begin(folder, "verify", files="app.exe" if begin is action else ["app.exe"])
        assert run.code == 2, run.text
        assert "kspsign.yml in the working folder is not read" in run.text
        assert digest(signed) == before

    @pytest.mark.parametrize("begin", [task, action])
    def test_the_input_names_the_only_file_and_inputs_win_over_it(self, begin: Any, store: Store, signed: Path) -> None:
        folder = signed.parent
        file = folder / "named.yml"
        trust = f"trust_root: [{json.dumps(str(store.root))}]\nreport: other.json\n"
        file.write_text(trust, encoding="utf-8")
        files: Any = "app.exe" if begin is action else ["app.exe"]
        run = begin(folder, "verify", files=files, config="named.yml", report="report.json")
        assert run.code == 0, run.text
        assert f"configuration named.yml (sha256 {digest(file)})" in run.text
        assert report_of(folder)["configuration"]["name"] == "named.yml"
        assert not (folder / "other.json").exists()

    @pytest.mark.parametrize("begin", [task, action])
    def test_the_file_can_not_name_another(self, begin: Any, tmp_path: Path) -> None:
        (tmp_path / "named.yml").write_text("config: other.yml\n", encoding="utf-8")
        run = begin(tmp_path, "verify", config="named.yml")
        assert (run.code, "there is no such setting: config" in run.text) == (3, True), run.text

    def test_a_config_that_is_no_path_is_refused(self, tmp_path: Path) -> None:
        assert task(tmp_path, "verify", config=["kspsign.yml"]).code == 3


class TestOutputs:
    """A report over the file that it is about would prove nothing, and destroy it."""

    @pytest.mark.parametrize("option", ["--report", "--junit", "--summary"])
    @pytest.mark.parametrize("command", ["verify", "sign", "timestamp"])
    def test_no_output_is_an_artifact(self, command: str, option: str, store: Store, tmp_path: Path) -> None:
        for name in ("app.exe", "data.bin"):
            copy_launcher(tmp_path, to=name)
        (tmp_path / "data.bin").write_bytes(b"of no format")
        before = {name: digest(tmp_path / name) for name in ("app.exe", "data.bin")}
        key = ("--thumbprint", store.thumbprint, "--store", store.folder) if command == "sign" else ()
        for name in before:
            run = start(command, "app.exe", "data.bin", *key, option, name, folder=tmp_path)
            assert run.code == 3, run.text
            assert f"{option} would write to {name}" in run.text
            assert {path: digest(tmp_path / path) for path in before} == before

    @pytest.mark.parametrize("kind", ["link", "hard link", "folder link", "dots", "case", "absolute"])
    def test_by_whatever_name(self, kind: str, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        path = tmp_path / "in" / "data.bin"
        path.write_bytes(b"of no format")
        other = tmp_path / "out.json"
        if kind == "link":
            other.symlink_to(path)
        elif kind == "hard link":
            other.hardlink_to(path)
        elif kind == "folder link":
            (tmp_path / "elsewhere").symlink_to(tmp_path / "in")
            other = tmp_path / "elsewhere" / "data.bin"
        elif kind == "dots":
            other = tmp_path / "in" / ".." / "in" / "data.bin"
        elif kind == "case":
            other = tmp_path / "IN" / "Data.BIN"
        else:
            other = path
        run = start("verify", "in/*.bin", "--report", other, folder=tmp_path)
        assert run.code == 3, run.text
        assert "it is one of the files to work on: in/data.bin" in run.text
        assert path.read_bytes() == b"of no format"
        assert kind != "case" or sys.platform != "linux" or not other.exists()

    def test_nor_where_the_selection_failed(self, tmp_path: Path) -> None:
        for name in ("app.exe", "data.bin"):
            (tmp_path / name).write_bytes(b"MZ of no format")
        run = start("verify", "data.bin", "gone.exe", "--report", "data.bin", folder=tmp_path)
        assert (run.code, (tmp_path / "data.bin").read_bytes()) == (3, b"MZ of no format"), run.text
        run = start("verify", "@gone.txt", "data.bin", "--report", "data.bin", folder=tmp_path)
        assert (run.code, (tmp_path / "data.bin").read_bytes()) == (3, b"MZ of no format"), run.text
        assert "data.bin is not written" in run.text
        run = start("verify", "@gone.txt", "--report", "new/report.json", folder=tmp_path)
        assert json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))["exit_code"] == 3
        assert start("verify", "gone.exe", "--report", "new/report.json", folder=tmp_path).code == 4
        assert json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))["exit_code"] == 4

    def test_nor_a_program_that_no_pattern_names(self, tmp_path: Path) -> None:
        other = copy_launcher(tmp_path, to="other.exe")
        (tmp_path / "data.bin").write_bytes(b"of no format")
        before = digest(other)
        run = start("verify", "data.bin", "--summary", "other.exe", folder=tmp_path)
        assert (run.code, digest(other)) == (3, before), run.text
        assert "a file that can be signed" in run.text

    @pytest.mark.parametrize(
        ("arguments", "both"),
        [
            (("--report", "out", "--junit", "out"), ("--junit", "--report")),
            (("--report", "out", "--summary", "./out"), ("--summary", "--report")),
            (("--policy", "in.yml", "--report", "in.yml"), ("--report", "--policy")),
            (("--trust-root", "in.yml", "--report", "in.yml"), ("--report", "--trust-root")),
            (("--config", "in.yml", "--report", "in.yml"), ("--report", "--config")),
            (("@in.yml", "--report", "in.yml"), ("--report", "@in.yml")),
        ],
    )
    def test_nor_another_input_or_output(
        self, arguments: tuple[str, ...], both: tuple[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "in.yml").write_text("# nothing\n", encoding="utf-8")
        (tmp_path / "data.bin").write_bytes(b"of no format")
        run = start("verify", "data.bin", *arguments, folder=tmp_path)
        assert run.code == 3, run.text
        assert f"{both[0]} would write to " in run.text
        assert f"{both[1]} names that file too" in run.text
        assert (tmp_path / "in.yml").read_text(encoding="utf-8") == "# nothing\n"
        assert not (tmp_path / "out").exists()

    def test_no_state_is_kept_among_the_artifacts(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        copy_launcher(tmp_path / "in", to="app.exe")
        key = ("--thumbprint", store.thumbprint, "--store", store.folder)
        run = start("sign", "in", *key, "--journal", "in", folder=tmp_path)
        assert run.code == 3, run.text
        assert "in/app.exe, one of the files to work on, is in that folder" in run.text
        assert [path.name for path in (tmp_path / "in").iterdir()] == ["app.exe"]

    def test_a_report_may_replace_an_earlier_one(self, store: Store, signed: Path) -> None:
        arguments = ("verify", "*.exe", "--trust-root", store.root, "--report", "r.json", "--summary", "s.md")
        for _ in range(2):
            assert start(*arguments, "--junit", "j.xml", folder=signed.parent).code == 0

    def test_the_actions_own_files_are_outputs_too(self, tmp_path: Path) -> None:
        (tmp_path / "output").write_bytes(b"of no format")
        run = action(tmp_path, "verify", files="output")
        assert (run.code, (tmp_path / "output").read_bytes()) == (3, b"of no format"), run.text
        assert "GITHUB_OUTPUT would write to" in run.text

    def test_merge_writes_over_no_report_that_it_reads(self, tmp_path: Path) -> None:
        (tmp_path / "one.json").write_text("{}", encoding="utf-8")
        run = start("merge", "*.json", "--report", "one.json", folder=tmp_path)
        assert (run.code, (tmp_path / "one.json").read_text(encoding="utf-8")) == (3, "{}"), run.text


class TestLists:
    """A list file that is none may hold secrets."""

    SECRET = ("root:x:0:0:root:/root:/bin/bash", "!daemon:*:18113", "s3cr3t-t0ken", "a" * 5000, "/" + "b/" * 3000)

    def test_what_is_in_it_is_not_shown(self, tmp_path: Path) -> None:
        (tmp_path / "data.bin").write_bytes(b"of no format")
        (tmp_path / "passwd").write_text("\n".join(self.SECRET), encoding="utf-8")
        for arguments in (("@passwd",), ("data.bin", "@passwd"), ("*.bin", "@passwd", "--verbose")):
            for command in ("verify", "timestamp"):
                run = start(command, *arguments, "--report", "report.json", folder=tmp_path)
                assert run.code != 0
                shown = run.text + (tmp_path / "report.json").read_text(encoding="utf-8")
                assert not any(line.strip("!")[:12] in shown for line in self.SECRET), shown[:2000]
                assert "line 1 of passwd" in shown
                assert "Traceback" not in shown

    @pytest.mark.parametrize("content", [b"SECRET\xff\n", b"SECRET\0\n", b"\xfe\xff\x00S\x00"])
    def test_nor_of_what_is_no_text(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "list").write_bytes(content)
        run = start("verify", "@list", folder=tmp_path)
        assert (run.code, "SECRET" in run.text) == (3, False), run.text

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices")
    @pytest.mark.parametrize("name", ["/dev/zero", "/proc/self/environ", "."])
    def test_what_is_no_list_file_is_refused(self, name: str, tmp_path: Path) -> None:
        run = start("verify", f"@{name}", folder=tmp_path, environment={"HIDDEN": "not to be shown"})
        assert (run.code, "not to be shown" in run.text) == (3, False), run.text

    def test_what_it_excludes_is_named_by_its_line(self, tmp_path: Path) -> None:
        for name in ("data.bin", "notes.txt"):
            (tmp_path / name).write_bytes(b"of no format")
        (tmp_path / "list").write_text("# all but notes\n*.bin\n*.txt\n!notes.*\n", encoding="utf-8")
        run = start("verify", "@list", folder=tmp_path)
        assert "left out (excluded by (line 4 of list)): notes.txt" in run.text
