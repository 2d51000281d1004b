"""Bad input, each with its exit code, cause and remedy; the file keeps its bytes, and nothing is left beside it."""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.model.hresults import Hresult
from support.agent.commands import parse
from support.certificates import EXPIRED, PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.peimages import build_pe, parts, patched
from support.samples import (
    AS_ANY_USER,
    Run,
    Store,
    assert_no_leftovers,
    copy_launcher,
    kspsign,
    kspsign_at,
    kspsign_process,
)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A launcher to be signed; whatever the test does, it must stay as it was."""
    folder = tmp_path / "files"
    folder.mkdir()
    path = copy_launcher(folder)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
    assert_no_leftovers(tmp_path)


def options(store: Store) -> tuple[str, ...]:
    """Signing with the embedded key."""
    return ("--thumbprint", store.thumbprint, "--store", str(store.folder))


def refused(path: Path, store: Store, content: bytes | None = None, *, by_any_user: bool = False) -> Run:
    """Sign one file that can't be signed, if asked in a process with an ordinary user's rights; its bytes must stay."""
    if content is not None:
        path.write_bytes(content)
    before = path.read_bytes()
    command = ("sign", path.name, *options(store))
    if by_any_user:
        run = kspsign_process(*command, folder=path.parent, before=AS_ANY_USER)
    else:
        run = kspsign_at(*command, folder=path.parent)
    assert path.read_bytes() == before
    assert_no_leftovers(path.parent)
    assert path.name in run.text
    assert run.file["error"]["remedy"] in run.text
    assert run.file["outcome"] == "failed"
    assert run.report["totals"]["signatures_used"] == 0
    return run


def test_no_file_matches(store: Store, tmp_path: Path) -> None:
    run = kspsign_at("sign", "bin/**/*.dll", *options(store), folder=tmp_path)
    assert run.code == run.report["exit_code"] == 4
    assert run.report["error"]["code"] == "NO_FILES_MATCHED"
    assert "no file matches bin/**/*.dll below" in run.text
    assert "Check the patterns" in run.text


def test_a_named_file_is_missing(store: Store, target: Path) -> None:
    run = kspsign_at("sign", target.name, "gone.exe", *options(store), folder=target.parent)
    assert run.code == 4
    assert "gone.exe" in run.text


def test_content_that_is_no_pe_image(store: Store, tmp_path: Path) -> None:
    run = refused(tmp_path / "notes.exe", store, b"just text, whatever its name says\n" * 9)
    assert (run.code, run.error_code) == (6, "TRUST_E_SUBJECT_FORM_UNKNOWN")
    assert "0x800B0003" in run.text


def test_an_empty_file(store: Store, tmp_path: Path) -> None:
    run = refused(tmp_path / "empty.exe", store, b"")
    assert (run.code, run.error_code) == (6, "TRUST_E_SUBJECT_FORM_UNKNOWN")


def test_an_image_cut_off_anywhere(store: Store, tmp_path: Path) -> None:
    whole = build_pe()
    found = parts(whole)
    places = {
        "dos": 0x20, "signature": found.pe, "signature2": found.pe + 4, "header": found.pe + 20,
        "optional": found.pe + 60, "directory": found.directory + 4, "sections": found.section_table + 10,
        "first": found.sections[0][0] + 7, "last": found.sections_end - 1,
    }  # fmt: skip
    for name, place in places.items():
        (tmp_path / f"{name}.exe").write_bytes(whole[:place])
    run = kspsign("sign", "*.exe", "--folder", tmp_path, *options(store), folder=tmp_path)
    assert run.code == 6
    for name, place in places.items():
        outcome = run.files[f"{name}.exe"]
        assert outcome["error"]["code"] == "ERROR_BAD_FORMAT", name
        assert (tmp_path / f"{name}.exe").stat().st_size == place
    assert "is truncated" in run.text
    assert Hresult.ERROR_BAD_FORMAT.remedy in run.text
    assert run.report["totals"]["signatures_used"] == 0


@pytest.mark.parametrize(
    ("offset", "size"), [(0x10000000, 0x100), (0, 64), (512, 0), (0xFFFFFFF8, 0xFFFFFFFF), (8, 64)]
)
def test_a_certificate_table_that_is_not_in_the_file(store: Store, tmp_path: Path, offset: int, size: int) -> None:
    image = build_pe()
    entry = offset.to_bytes(4, "little") + size.to_bytes(4, "little")
    run = refused(tmp_path / "claims.exe", store, patched(image, parts(image).directory, entry))
    assert (run.code, run.error_code) == (6, "ERROR_BAD_FORMAT")
    assert "certificate table" in run.text


def test_a_read_only_file(store: Store, target: Path) -> None:
    target.chmod(0o444)
    run = refused(target, store, by_any_user=True)
    assert (run.code, run.error_code) == (6, "ERROR_ACCESS_DENIED")
    assert "read-only" in run.text
    assert target.stat().st_mode & 0o777 == 0o444


def test_what_fills_the_place_of_the_signature_is_named_before_a_missing_right(store: Store, tmp_path: Path) -> None:
    image = build_pe()
    held = image + b"\x10\0\0\0" + b"\0\1" + b"\2\0" + bytes(8)
    entry = len(image).to_bytes(4, "little") + (16).to_bytes(4, "little")
    path = tmp_path / "held.exe"
    path.write_bytes(patched(held, parts(held).directory, entry))
    path.chmod(0o444)
    run = refused(path, store, by_any_user=True)
    assert (run.code, run.error_code) == (6, "ALREADY_SIGNED")


def test_whoever_may_write_to_a_file_may_sign_it_whatever_its_mode_says(store: Store, tmp_path: Path) -> None:
    path = copy_launcher(tmp_path)
    path.chmod(0o444)
    run = kspsign_process("sign", path.name, *options(store), folder=tmp_path)
    if AS_ANY_USER:
        assert (run.code, run.file["outcome"]) == (0, "signed")
        assert path.stat().st_mode & 0o777 == 0o444
    else:
        assert (run.code, run.error_code) == (6, "ERROR_ACCESS_DENIED")


def test_a_file_that_another_process_holds(store: Store, target: Path) -> None:
    with target.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = refused(target, store, by_any_user=True)
    assert (run.code, run.error_code) == (6, "ERROR_SHARING_VIOLATION")


def test_one_bad_file_stops_no_other(store: Store, tmp_path: Path) -> None:
    copy_launcher(tmp_path)
    (tmp_path / "broken.exe").write_bytes(build_pe()[:700])
    run = kspsign_at("sign", "*.exe", *options(store), folder=tmp_path)
    assert run.code == 1
    assert {name: file["outcome"] for name, file in run.files.items()} == {
        "broken.exe": "failed",
        "cli-64.exe": "signed",
    }


def test_a_thumbprint_that_nobody_knows(store: Store, target: Path) -> None:
    run = kspsign_at("sign", target, "--thumbprint", "AB" * 20, "--store", store.folder, folder=target.parent)
    assert run.code == 5
    assert "AB" * 20 in run.text
    assert run.report["error"]["remedy"] in run.text


def test_a_thumbprint_that_is_none(store: Store, target: Path) -> None:
    run = kspsign_at("sign", target, "--thumbprint", "12 34", "--store", store.folder, folder=target.parent)
    assert run.code == 3
    assert "40 hex digits" in run.text


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"end": EXPIRED}, "CERT_E_EXPIRED"),
        ({"code_signing": False}, "CERT_E_WRONG_USAGE"),
        ({"self_signed": True}, "CERT_E_UNTRUSTEDROOT"),
    ],
    ids=["expired", "without code signing", "self-signed"],
)
def test_a_certificate_that_can_not_sign(target: Path, tmp_path: Path, fault: dict[str, bool], code: str) -> None:
    file = signing_file(tmp_path, **fault)  # type: ignore[arg-type]
    run = kspsign_at("sign", target, *file.options, folder=target.parent, environment={PASSWORD_VARIABLE: PASSWORD})
    assert run.code == 5
    assert run.report["error"]["code"] == code
    assert run.report["error"]["hresult"] == Hresult[code].hex
    assert run.report["error"]["message"] in run.text
    assert run.report["error"]["remedy"] in run.text
    assert run.report["totals"]["signatures_used"] == 0
    assert PASSWORD not in run.text


def test_a_root_that_is_not_given(target: Path, tmp_path: Path) -> None:
    file = signing_file(tmp_path)
    chosen = ["--key-store", "pkcs12", "--pkcs12", file.path, "--password-env", PASSWORD_VARIABLE]
    run = kspsign_at(
        *("sign", target, *chosen, "--store", tmp_path / "store"),
        folder=target.parent, environment={PASSWORD_VARIABLE: PASSWORD},
    )  # fmt: skip
    assert run.code == 5
    assert run.report["error"]["code"] == "CERT_E_UNTRUSTEDROOT"
    assert "--trust-root" in run.text


def test_a_key_that_does_not_fit_its_certificate(target: Path, tmp_path: Path) -> None:
    file = signing_file(tmp_path, key=rsa_key(2048), file_key=rsa_key(2048))
    run = kspsign_at(
        *("sign", target, *file.options, "--no-timestamp"),
        folder=target.parent, environment={PASSWORD_VARIABLE: PASSWORD},
    )  # fmt: skip
    assert (run.code, run.error_code) == (6, "KEY_MISMATCH")
    assert "does not match the certificate" in run.text
    assert "Run certsync again" in run.text


def test_a_wrong_password_is_said_and_not_shown(target: Path, tmp_path: Path) -> None:
    file = signing_file(tmp_path)
    run = kspsign_at(
        "sign", target, *file.options, folder=target.parent, environment={PASSWORD_VARIABLE: "hunter2hunter2"}
    )
    assert run.code == 5
    assert run.report["error"]["code"] == "WRONG_PASSWORD"
    assert "hunter2hunter2" not in run.text + str(run.report)


LINE_END = re.compile(r"\r\n|\r|\n")
HOSTILE = (
    "##vso[task.setvariable variable=PATH]x.exe",
    "line one\n##vso[task.complete result=Succeeded]done.exe",
    "carriage\r##vso[task.logissue type=error]return.exe",
    "##[error]red.exe",
    "a ##vso[build.addbuildtag]tag.dll",
)


def test_file_names_that_want_to_be_commands(store: Store, tmp_path: Path) -> None:
    """Good and bad files with such names: the agent sees only the commands that kspsign means."""
    folder = tmp_path / "files"
    folder.mkdir()
    for index, name in enumerate(HOSTILE):
        (folder / name).write_bytes(build_pe() if index % 2 else b"no image")
    agent = {"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(tmp_path), "SYSTEM_DEBUG": "True"}
    run = kspsign_at("run", "*", "--folder", folder, *options(store), folder=tmp_path, environment=agent)
    assert run.code == 1
    commands = [command for line in LINE_END.split(run.text) if (command := parse(line))]
    assert {command.name for command in commands} <= {
        "task.setprogress", "task.logissue", "task.setvariable", "task.addattachment", "task.uploadsummary",
        "task.uploadfile", "results.publish",
    }  # fmt: skip
    variables = [command.properties["variable"] for command in commands if command.name == "task.setvariable"]
    assert "PATH" not in variables
    assert not [command for command in commands if command.name == "task.complete"]
    # One cause, one issue; it names the files.
    assert sum(command.name == "task.logissue" and command.properties["type"] == "error" for command in commands) == 1
    (red,) = [line for line in LINE_END.split(run.text) if line.startswith("##[error]")]
    assert red.startswith("##[error]kspsign run: FAILED, ")
    assert set(run.files) == set(HOSTILE)
    signed = [name for name, file in run.files.items() if file["outcome"] == "signed"]
    assert sorted(signed) == sorted(HOSTILE[1::2])


def test_the_digest_of_a_refused_file_is_not_asked_for(store: Store, tmp_path: Path) -> None:
    """What can't be signed costs nothing, not even with many such files."""
    for index in range(5):
        (tmp_path / f"{index}.exe").write_bytes(build_pe(directories=4))
    run = kspsign("sign", "*.exe", "--folder", tmp_path, *options(store), folder=tmp_path)
    assert run.code == 6
    assert run.report["totals"] == {
        "matched": 5, "signed": 0, "skipped": 0, "failed": 5, "verified": 0, "unverified": 5, "signatures_used": 0,
        "signatures_needed": 0, "left": 0,
    }  # fmt: skip
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.exe")} == {
        hashlib.sha256(build_pe(directories=4)).hexdigest()
    }
