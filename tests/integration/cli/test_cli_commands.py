"""The command line itself: help, versions, schemas, wrong arguments, and each command's own promise."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest

from kspsign.cli.options import settings_fields
from support.formats.peimages import build_pe, flipped
from support.samples import Store, copy_launcher, corpus, kspsign

COMMANDS = ("run", "certsync", "sign", "timestamp", "verify", "inspect", "demo", "schema")


def start(
    *arguments: object, folder: Path, text: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kspsign", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_the_packages(tmp_path: Path, option: str) -> None:
    done = start(option, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kspsign {version('kspsign')}\n", "")


def test_help_names_every_command_and_exit_code(tmp_path: Path) -> None:
    shown = start("--help", folder=tmp_path).stdout
    text = " ".join(shown.split())
    assert all(command in text for command in COMMANDS)
    assert not re.search(r"^ +task\b", shown, re.MULTILINE), "it is for the task alone"
    assert all(f"{code} " in text for code in (0, 1, 2, 3, 4, 5, 6, 130))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(tmp_path: Path, command: str) -> None:
    done = start(command, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"kspsign {command}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing", "a.exe"],
        ["sign", "--no-such-option"],
        ["sign", "a.exe", "--jobs", "many"],
        ["sign", "a.exe", "--jobs", "0"],
        ["sign", "a.exe", "--digest", "sha1"],
        ["sign", "a.exe", "--append", "--replace"],
        ["sign", "a.exe", "--key-store", "usb"],
        ["sign", "a.exe", "--config", "gone.yml"],
        ["sign", "a.exe"],
        ["run", "a.exe", "--key-store", "pkcs12"],
        ["verify", "--jobs"],
        ["schema", "everything"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_wrong_arguments_end_with_3_and_say_why(tmp_path: Path, arguments: list[str]) -> None:
    copy_launcher(tmp_path, to="a.exe")
    done = start(*arguments, folder=tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert re.search("usage:|remedy:", done.stderr + done.stdout)


def test_certsync_ends_with_the_thumbprint(store: Store, tmp_path: Path) -> None:
    done = start("certsync", "--key-store", "embedded", "--store", store.folder, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == store.thumbprint


def test_the_key_store_is_never_guessed(tmp_path: Path) -> None:
    path = copy_launcher(tmp_path)
    done = start("sign", path, folder=tmp_path)
    assert done.returncode == 3
    assert "neither a key store nor a thumbprint" in done.stdout + done.stderr
    assert not list(tmp_path.glob("store"))


def test_quiet_prints_failures_only_and_verbose_every_check(store: Store, tmp_path: Path) -> None:
    copy_launcher(tmp_path)
    options = ("--thumbprint", store.thumbprint, "--store", store.folder)
    loud = kspsign("sign", tmp_path / "cli-64.exe", *options, "--verbose", folder=tmp_path)
    for check in loud.file["verdict"]["checks"]:
        assert check["name"] in loud.text
    assert kspsign("sign", tmp_path / "cli-64.exe", *options, "--quiet", folder=tmp_path).text == ""
    (tmp_path / "bad.exe").write_bytes(build_pe()[:700])
    assert "bad.exe" in kspsign("sign", tmp_path / "bad.exe", *options, "--quiet", folder=tmp_path).text


SCREEN = {"COLUMNS": "80"}


def test_inspect_tells_what_a_file_carries(signed_image: bytes, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(signed_image)
    good = start("inspect", path, "--trust-root", store.root, folder=tmp_path, environment=SCREEN)
    assert good.returncode == 0
    for shown in (store.thumbprint, "issuer      CN=kspsign TEST SIGNING", "RSA 3072 bits", "valid 20", "\nverified\n"):
        assert shown in good.stdout
    for label in ("format", "size", "sha256", "subject", "issuer", "digest", "timestamp", "passed"):
        assert f"\n  {label} " in good.stdout
    assert len(good.stdout.splitlines()) <= 24
    path.write_bytes(flipped(signed_image, 3))
    bad = start("inspect", path, "--trust-root", store.root, folder=tmp_path, environment=SCREEN)
    assert bad.returncode == 2
    assert "TRUST_E_BAD_DIGEST (0x80096010)" in bad.stdout
    assert "FAILED      digest: signed" in bad.stdout
    assert "\n  remedy " in bad.stdout
    assert start("inspect", tmp_path / "gone.exe", folder=tmp_path, environment=SCREEN).returncode == 4


def test_inspect_tells_of_a_second_signature(tmp_path: Path) -> None:
    shown = start("inspect", corpus("msvcp140_1.dll"), folder=tmp_path, environment=SCREEN).stdout
    assert "signature 1 of 2\n" in shown
    assert "signature 2 of 2, nested\n" in shown
    assert shown.count("by Microsoft Time-Stamp Service") == 2
    assert len(shown.splitlines()) <= 40


@pytest.mark.parametrize(("content", "kind"), [(b"", "unknown"), (b"text\n", "unknown"), (build_pe(), "pe")])
def test_inspect_tells_of_anything(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "any.bin").write_bytes(content)
    run = start("inspect", tmp_path / "any.bin", folder=tmp_path, environment=SCREEN)
    assert run.returncode == 2
    for row in (f"format      {kind}", f"{len(content):,} bytes", hashlib.sha256(content).hexdigest(), "none"):
        assert row in run.stdout
    assert "\n  remedy " in run.stdout
    assert len(run.stdout.splitlines()) <= 24


def test_the_config_schema_fits_the_settings(tmp_path: Path) -> None:
    schema = json.loads(start("schema", "config", folder=tmp_path).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"files": ["*.exe"], "jobs": 3, "key_store": "embedded"}, schema)
    for wrong in ({"jbos": 3}, {"jobs": 0}, {"digest": "sha1"}, {"password": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert set(schema["properties"]) == {*settings_fields(), "$schema"}
    jsonschema.validate({"$schema": "kspsign.schema.json", "files": "a.exe\nb.exe"}, schema)


def test_a_failed_runs_report_follows_the_schema_too(store: Store, tmp_path: Path) -> None:
    schema = json.loads(start("schema", "report", folder=tmp_path).stdout)
    (tmp_path / "bad.exe").write_bytes(b"no image")
    some = kspsign(
        "sign",
        "*.exe",
        "--folder",
        tmp_path,
        "--thumbprint",
        store.thumbprint,
        "--store",
        store.folder,
        folder=tmp_path,
    )
    none = kspsign("sign", "*.ocx", "--folder", tmp_path, "--thumbprint", store.thumbprint, folder=tmp_path)
    for run in (some, none):
        jsonschema.validate(run.report, schema, jsonschema.Draft202012Validator)
        assert (run.report["passed"], run.report["exit_code"]) == (False, run.code)


@pytest.mark.parametrize("document", ["", "no json", "[]", "{}", '{"command": "run"}', '{"command": []}'])
def test_task_without_the_tasks_document_is_refused(tmp_path: Path, document: str) -> None:
    done = start("task", folder=tmp_path, text=document)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "standard input" in done.stdout


def test_task_takes_inputs_and_variables_from_its_document(store: Store, tmp_path: Path) -> None:
    copy_launcher(tmp_path)
    inputs = {"files": ["*.exe"], "folder": str(tmp_path), "thumbprint": store.thumbprint, "store": str(store.folder)}
    document = {
        "version": 1, "command": "run", "inputs": inputs, "secrets": {},
        "variables": {"AGENT_TEMPDIRECTORY": str(tmp_path)},
    }  # fmt: skip
    done = start("task", folder=tmp_path, text=json.dumps(document))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "##vso[task.setprogress" in done.stdout


def test_output_for_people_who_read_no_utf8(store: Store, tmp_path: Path) -> None:
    """A console of another encoding shows escapes, and never stops the run."""
    copy_launcher(tmp_path, to="größe-日本.exe")
    options = ("--thumbprint", store.thumbprint, "--store", store.folder)
    for encoding in ("ascii", "cp1252"):
        done = subprocess.run(
            [sys.executable, "-m", "kspsign", "sign", "*.exe", *map(str, options)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("explain", "0x80096010"), ("schema", "report"), ("verify", ".")])
def test_output_that_can_not_be_written_is_told_without_a_traceback(tmp_path: Path, arguments: Sequence[str]) -> None:
    """A file that is open for reading alone stands for a full disk: writing to either is refused."""
    script = tmp_path / "some.ps1"
    script.write_text("")
    with script.open() as unwritable:
        done = subprocess.run(
            [sys.executable, "-m", "kspsign", *arguments],
            cwd=tmp_path, stdout=unwritable, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    cause, remedy = done.stderr.splitlines()
    assert cause.startswith("kspsign: unexpected OSError: [Errno ")
    assert remedy.startswith("  remedy: ")
