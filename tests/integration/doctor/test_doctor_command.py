"""The doctor examines a program that is a key store: what it does wrong, line by line, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.doctor.run import Given, doctor
from support.key_command.world import PIN, KeyCommand


@dataclass(frozen=True)
class Misdeed:
    """`ways` of the program, and the line that says what is wrong with it. `made` signatures are asked for by that."""

    ways: dict[str, Any]
    name: str
    words: str
    state: str = "failed"
    made: int = 0
    more: tuple[str, ...] = ()


FREE = {"costly": False, "digests": ["sha256"]}
CASES = {
    "no answer in time": Misdeed({"chain_hang": 1}, "protocol", "within 1 s", more=("--key-command-timeout", "1")),
    "text on standard output": Misdeed({"chain_text": "Enter PIN:"}, "protocol", "not JSON: 'Enter PIN:'"),
    "wrong id": Misdeed({"chain_wrong_id": 1}, "protocol", "has the id '99'"),
    "ends while asked": Misdeed({"chain_exit": 7}, "protocol", "exit code 7"),
    "no certificates": Misdeed({"chain_answer": {"certificates": []}}, "protocol", "certificates is wrong"),
    "not a certificate": Misdeed({"chain_answer": {"certificates": ["AAAA"]}}, "protocol", "can't be used"),
    "a digest that does not exist": Misdeed({"chain_answer": {"digests": ["md5"]}}, "protocol", "digests.0 is wrong"),
    "too many at once": Misdeed({"chain_answer": {"concurrent": 0}}, "protocol", "concurrent is wrong"),
    "signs what it does not know": Misdeed({"signs_anything": True}, "unknown requests", "with a signature instead"),
    "is busy where it should refuse": Misdeed(
        {"sign_error": {"kind": "busy", "message": "later"}}, "unknown requests", "of kind busy instead"
    ),
    "ends at what it does not know": Misdeed({"sign_exit": 1}, "unknown requests", "exit code 1"),
    "an error of no kind": Misdeed(
        {"sign_error": {"kind": "failed", "message": "x"}}, "unknown requests", "error.kind is wrong"
    ),
    "another key": Misdeed({**FREE, "wrong_key": True}, "test signature", "does not verify", made=1),
    "hashes the digest again": Misdeed({**FREE, "hashes_again": True}, "test signature", "hashed again", made=1),
    "no base64": Misdeed({**FREE, "sign_answer": {"signature": "%"}}, "test signature", "not base64", made=1),
    "no certificate with its signature": Misdeed(
        {**FREE, "fixed_certificate": False, "sign_answer": {"certificates": []}},
        "test signature",
        "no certificate, though fixed_certificate is false",
        made=1,
    ),
    "paid for, if that is allowed": Misdeed(
        {"digests": ["sha256"], "wrong_key": True}, "test signature", "does not verify", made=1,
        more=("--key-command-test",),
    ),
    "answers one of several": Misdeed(
        {**FREE, "concurrent": 4, "lost": 9, "lost_times": 9}, "test signature", "exit code 9", made=1
    ),
    "writes a secret": Misdeed({"stderr": "logged in with PIN"}, "standard error", "logged in with ***", "warning"),
    "does not end": Misdeed({"stays": True}, "end of the program", "still runs", "warning"),
}  # fmt: skip


def examined(program: KeyCommand, folder: Path, *more: object) -> Any:
    given = Given((*program.options, *program.trust, "--no-timestamp", *more), program.environment)
    return doctor(given, folder)


@pytest.mark.parametrize("name", CASES)
def test_what_a_program_does_wrong_is_said(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    program = KeyCommand.create(tmp_path / "program", **case.ways)
    found = examined(program, tmp_path, *case.more)
    assert case.words in found.said(case.name, case.state), found.text
    assert found.code == (5 if case.state == "failed" else 0), found.text
    assert [check["name"] for check in found.checks if check["state"] == "failed"] == [case.name] * (found.code == 5)
    assert program.made == case.made
    assert PIN not in found.text


def test_a_program_that_keeps_to_the_protocol_passes(tmp_path: Path) -> None:
    program = KeyCommand.create(tmp_path / "program", costly=False, concurrent=3)
    found = examined(program, tmp_path)
    assert found.code == 0, found.text
    assert found.said("test signature", "ok")
    assert "3 at the same time" in found.said("requests at once", "ok")
    assert program.made == 3 + 3


def test_a_signature_that_may_be_charged_is_not_asked_for(tmp_path: Path) -> None:
    program = KeyCommand.create(tmp_path / "program", concurrent=3)
    found = examined(program, tmp_path)
    assert (found.code, program.made) == (0, 0), found.text
    assert "--key-command-test" in found.said("test signature", "not checked")
    found = examined(program, tmp_path, "--key-command-test")
    assert (found.code, program.made) == (0, 6), found.text


def test_a_busy_program_is_waited_for(tmp_path: Path) -> None:
    """The first two requests to sign are those of the check for an unknown algorithm and of the test signature."""
    busy = {"kind": "busy", "message": "later", "retry_after": 0.01}
    program = KeyCommand.create(tmp_path / "program", costly=False, digests=["sha256"])
    source = tmp_path / "program" / "busy.py"
    text = Path(str(program.options[5])).read_text(encoding="utf-8")
    source.write_text(text.replace('if once(f"{op}_error"):', 'if request.get("digest") and once(f"{op}_error"):'))
    program.behave(costly=False, digests=["sha256"], sign_error=busy, sign_error_times=2)
    options = [source if word == program.options[5] else word for word in program.options]
    found = doctor(Given((*options, *program.trust, "--no-timestamp"), program.environment), tmp_path)
    assert (found.code, program.made) == (0, 1), found.text
