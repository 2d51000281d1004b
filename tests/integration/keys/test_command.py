"""A program as key store: what a run makes of everything that it may do, in outcome, signatures and journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.formats.peimages import build_pe
from support.key_command.world import PIN, PROGRAM, KeyCommand
from support.samples import Run, assert_no_leftovers, kspsign_at, osslsigncode_verify

NOW = {"kind": "busy", "message": "no free session", "retry_after": 0}


def run_in(program: KeyCommand, folder: Path, *more: object) -> Run:
    return kspsign_at(
        *("run", "*.dll", *program.options, *program.trust, "--store", folder / "store", "--no-timestamp", *more),
        folder=folder,
        environment=program.environment,
    )


def images(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{number}.dll").write_bytes(build_pe(overlay=b"image %d" % number))


def journals(folder: Path) -> list[Path]:
    return [*(folder / "store").rglob("*.journal")]


@dataclass(frozen=True)
class Case:
    """`ways` of the program; `made` is how many signatures it makes, `used` what the run says, None: the same."""

    ways: dict[str, Any]
    code: int
    error: str | None = None
    made: int = 0
    used: int | None = None
    files: int = 1
    words: tuple[str, ...] = field(default=())
    more: tuple[str, ...] = ()


CASES: dict[str, Case] = {
    "free": Case({"costly": False}, 0, made=1),
    "busy at chain": Case({"chain_error": NOW, "chain_error_times": 2}, 0, made=1),
    "busy for ever": Case({"sign_error": NOW}, 6, "COMMAND_BUSY", words=("no free session",)),
    "asked to wait too long": Case({"sign_error": {**NOW, "retry_after": 3600}}, 6, "COMMAND_BUSY"),
    "lost, as it says": Case(
        {"sign_error": {"kind": "spent", "message": "the line broke"}},
        6,
        "SIGNATURE_MAY_BE_SPENT",
        used=1,
        words=("the line broke",),
    ),
    "refused": Case(
        {"sign_error": {"kind": "refused", "message": "key usage count reached"}},
        6,
        "COMMAND_REFUSED",
        words=("key usage count reached",),
    ),
    "refused at chain": Case(
        {"chain_error": {"kind": "refused", "message": "no such slot", "about": "key"}},
        5,
        "COMMAND_REFUSED",
        words=("no such slot",),
    ),
    "hashes the digest": Case({"hashes_again": True}, 6, "KEY_MISMATCH", made=1),
    "another certificate with each signature": Case(
        {"rotate_after": 1, "fixed_certificate": False}, 0, made=2, files=2, more=("--jobs", "1")
    ),
    "a page in the place of an answer": Case(
        {"sign_text": "<html><title>Sign in</title></html>"},
        6,
        "SIGNATURE_MAY_BE_SPENT",
        used=1,
        words=("a line that is not JSON", "<title>Sign in"),
    ),
    "a page in the place of the chain": Case(
        {"chain_text": "<html>"}, 5, "COMMAND_PROTOCOL", words=("a line that is not JSON",)
    ),
    "an empty line": Case({"sign_text": ""}, 6, "SIGNATURE_MAY_BE_SPENT", used=1),
    "a list": Case({"sign_text": "[1]"}, 6, "SIGNATURE_MAY_BE_SPENT", used=1, words=("has no id",)),
    "wrong id": Case({"sign_wrong_id": 1}, 6, "SIGNATURE_MAY_BE_SPENT", made=1, words=("the id '99'",)),
    "no base64": Case(
        {"sign_answer": {"signature": "%%%"}}, 6, "SIGNATURE_MAY_BE_SPENT", made=1, words=("not base64",)
    ),
    "bits turned": Case({"sign_answer": {"signature": "QUJD" * 64}}, 6, "KEY_MISMATCH", made=1),
    "no signature": Case({"sign_answer": {"signature": 7}}, 6, "SIGNATURE_MAY_BE_SPENT", made=1, words=("signature",)),
    "no certificate": Case({"chain_answer": {"certificates": []}}, 5, "COMMAND_PROTOCOL", words=("certificates",)),
    "a certificate that is none": Case({"chain_answer": {"certificates": ["AAAA"]}}, 5, "COMMAND_PROTOCOL"),
    "a digest that it does not sign": Case({"digests": ["sha384"]}, 3, "DIGEST_NOT_SUPPORTED"),
    "ends at once": Case({"chain_exit": 3}, 5, "COMMAND_ENDED", words=("exit code 3",)),
    "ends while asked": Case({"sign_exit": 4}, 6, "SIGNATURE_MAY_BE_SPENT", used=1, words=("exit code 4",)),
    "hangs": Case(
        {"sign_hang": 1},
        6,
        "SIGNATURE_MAY_BE_SPENT",
        used=1,
        more=("--key-command-timeout", "1"),
        words=("within 1 s",),
    ),
    "hangs at chain": Case({"chain_hang": 1}, 5, "COMMAND_TIMEOUT", more=("--key-command-timeout", "1")),
    "stays when it should end": Case({"stays": True}, 0, made=1),
}


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    program = KeyCommand.create(tmp_path / "program", **case.ways)
    images(tmp_path, case.files)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.dll")}
    run = run_in(program, tmp_path, *case.more)
    assert run.code == case.code, run.text
    assert program.made == case.made
    assert all(word in run.text for word in case.words), run.text
    if case.code in {3, 5}:
        assert run.report["error"]["code"] == case.error, run.text
    else:
        errors = [file["error"]["code"] for file in run.report["files"] if file["error"]]
        assert errors == [case.error] * (0 if case.code == 0 else 1), run.text
        assert run.report["totals"]["signatures_used"] == (case.made if case.used is None else case.used)
    assert journals(tmp_path) == []
    assert_no_leftovers(tmp_path)
    if case.code and case.files == 1:
        assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.dll")}
    if case.code == 0:
        assert osslsigncode_verify(tmp_path / "0.dll", program.folder / "root.pem").accepted
    assert PIN not in run.text


def test_many_files_by_several_processes_with_several_requests_each(tmp_path: Path) -> None:
    program = KeyCommand.create(tmp_path / "program", concurrent=4, sign_seconds=0.3)
    images(tmp_path, 24)
    run = run_in(program, tmp_path, "--key-command-workers", "2", "--jobs", "32")
    assert (run.code, program.made) == (0, 24), run.text
    limits = run.report["limits"]["key_store"] if "limits" in run.report else {}
    assert limits.get("ceiling", 8) == 8
    assert all(file["verdict"]["result"] == "verified" for file in run.report["files"])


def test_a_dead_process_is_replaced_and_the_other_files_are_signed(tmp_path: Path) -> None:
    program = KeyCommand.create(tmp_path / "program", sign_exit=1, sign_exit_times=1)
    images(tmp_path, 4)
    run = run_in(program, tmp_path)
    assert (run.code, program.made) == (1, 3), run.text
    assert [file["error"]["code"] for file in run.report["files"] if file["error"]] == ["SIGNATURE_MAY_BE_SPENT"]
    again = run_in(program, tmp_path)
    assert (again.code, program.made, again.report["totals"]["signatures_used"]) == (0, 4, 1), again.text


def test_a_replaced_process_with_another_certificate_signs_nothing(tmp_path: Path) -> None:
    program = KeyCommand.create(tmp_path / "program", sign_exit=1, sign_exit_times=1)
    images(tmp_path, 2)
    start = PROGRAM.read_text(encoding="utf-8")
    turning = tmp_path / "program" / "turning.py"
    # Every process after the first names the second certificate.
    turning.write_text(
        start.replace(
            'chain(number: str = "")', 'chain(number: str = "2" if (FOLDER / "begun").exists() else "")'
        ).replace("for text in sys.stdin:", 'begun = (FOLDER / "begun").exists()\nfor text in sys.stdin:', 1)
        + "\n",
        encoding="utf-8",
    )
    options = [turning if word == PROGRAM else word for word in program.options]
    (tmp_path / "program" / "sign_exit.count").unlink(missing_ok=True)
    given = ("run", "*.dll", *options, *program.trust, "--store", tmp_path / "store", "--no-timestamp", "--jobs", "1")
    wrapper = turning.read_text(encoding="utf-8").replace(
        "        os._exit(WAYS", '        (FOLDER / "begun").touch()\n        os._exit(WAYS', 1
    )
    turning.write_text(wrapper, encoding="utf-8")
    run = kspsign_at(*given, folder=tmp_path, environment=program.environment)
    assert run.code == 6, run.text
    codes = sorted(file["error"]["code"] for file in run.report["files"])
    assert (codes, program.made) == (["CERTIFICATE_CHANGED", "SIGNATURE_MAY_BE_SPENT"], 0), run.text


def test_by_thumbprint_alone_it_is_started_again_with_its_arguments(tmp_path: Path) -> None:
    program = KeyCommand.create(tmp_path / "program")
    images(tmp_path, 1)
    store = ("--store", tmp_path / "store")
    command = ["certsync", *program.options, "--keypair-alias", "release", *store]
    first = subprocess.run(
        [sys.executable, "-m", "kspsign", *map(str, command)],
        cwd=tmp_path, env={**os.environ, **program.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    (entry,) = (tmp_path / "store").rglob("entry.json")
    kept = json.loads(entry.read_text(encoding="utf-8"))
    assert PIN not in entry.read_text(encoding="utf-8")
    by = ("--thumbprint", kept["thumbprint"], "--key-command-env", "HSM_PIN", *store)
    run = kspsign_at(
        "sign", "*.dll", *by, *program.trust, "--no-timestamp", folder=tmp_path, environment=program.environment
    )
    assert (run.code, run.report["key_store"], program.made) == (0, "command", 1), run.text
    for name in ("key", "chain"):  # renewed meanwhile
        (program.folder / f"{name}.pem").write_bytes((program.folder / f"{name}2.pem").read_bytes())
    images(tmp_path, 1)
    run = kspsign_at(
        "sign", "*.dll", *by, *program.trust, "--no-timestamp", folder=tmp_path, environment=program.environment
    )
    assert (run.code, run.report["error"]["code"], program.made) == (5, "KEY_STORE_CHANGED", 1), run.text


def test_it_gets_the_variables_that_are_named_and_no_others(tmp_path: Path) -> None:
    shown = tmp_path / "shown.json"
    program = tmp_path / "show.py"
    program.write_text(f"import json, os\njson.dump(dict(os.environ), open({str(shown)!r}, 'w'))\n", encoding="utf-8")
    images(tmp_path, 1)
    environment = {"HSM_PIN": PIN, "SM_API_KEY": "another-1", "AZURE_CLIENT_SECRET": "another-2", "Mixed_Case": "x-y-z"}
    run = kspsign_at(
        *("run", "*.dll", "--key-store", "command", "--key-command", sys.executable, "--key-command-arg", program),
        *("--key-command-env", "HSM_PIN", "--key-command-env", "Mixed_Case", "--no-timestamp"),
        folder=tmp_path,
        environment=environment,
    )
    assert (run.code, run.report["error"]["code"]) == (5, "COMMAND_ENDED"), run.text
    got = json.loads(shown.read_text(encoding="utf-8"))
    assert (got["HSM_PIN"], got["Mixed_Case"]) == (PIN, "x-y-z")
    assert not {"SM_API_KEY", "AZURE_CLIENT_SECRET", "PYTHONPATH"} & set(got)


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, str], int, str]] = {
    "no program": ((), {}, 3, "--key-command"),
    "not found": (("--key-command", "no-such-program-here"), {}, 5, "was not found"),
    "not a program": (("--key-command", "./0.dll"), {}, 5, "was not found, or may not be run"),
    "variable not set": (
        ("--key-command", sys.executable, "--key-command-env", "HSM_PIN"), {}, 3, "not set: HSM_PIN",
    ),
    "a secret as the name": (
        ("--key-command", sys.executable, "--key-command-env", "hunter2-secret"), {}, 3, "not set: (not shown)",
    ),
    "a secret as an argument": (
        ("--key-command", sys.executable, "--key-command-env", "HSM_PIN", f"--key-command-arg=--pin={PIN}"),
        {"HSM_PIN": PIN}, 3, "every user of the machine can read arguments",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_before_anything_is_started(name: str, tmp_path: Path) -> None:
    options, environment, code, words = REFUSED[name]
    images(tmp_path, 1)
    run = kspsign_at(
        *("run", "*.dll", "--key-store", "command", *options, "--no-timestamp"),
        folder=tmp_path,
        environment=environment,
    )
    assert (run.code, words in run.text) == (code, True), run.text
    assert not any(secret in run.text for secret in (PIN, "hunter2-secret"))


def test_a_file_that_was_not_named_runs_no_program(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    images(tmp_path, 1)
    settings = {
        "key_store": "command",
        "key_command": sys.executable,
        "key_command_arg": ["-c", f"open({str(ran)!r}, 'w')"],
    }
    (tmp_path / "kspsign.yml").write_text(json.dumps(settings), encoding="utf-8")
    run = kspsign_at("sign", "*.dll", "--no-timestamp", folder=tmp_path)
    assert run.code == 3, run.text
    assert "key_command" in run.text
    assert "was not named" in run.text
    assert not ran.exists()
    named = kspsign_at("sign", "*.dll", "--no-timestamp", "--config", "kspsign.yml", folder=tmp_path)
    assert (named.code, ran.exists()) == (5, True), named.text  # the twin that is named is run, and says nothing


def test_a_cancelled_run_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "alive"
    program = tmp_path / "parent.py"
    writing = f"import time\nwhile True:\n    open({str(marker)!r}, 'a').write('.')\n    time.sleep(0.05)\n"
    program.write_text(
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {writing!r}])\nsys.stdin.read()\n",
        encoding="utf-8",
    )
    images(tmp_path, 1)
    words = ("run", "*.dll", "--key-store", "command", "--key-command", sys.executable, "--key-command-arg", program)
    process = subprocess.Popen(
        [sys.executable, "-m", "kspsign", *map(str, words), "--no-timestamp", "--report", "report.json"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not marker.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 130
    time.sleep(0.3)
    size = marker.stat().st_size
    time.sleep(0.3)
    assert marker.stat().st_size == size
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["exit_code"] == 130
