"""`kspsign explain` as a program: answers, exit codes and standard input."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kspsign.cli.explain import EXIT_NOT_KNOWN


def _explain(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "kspsign", "explain", *words]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, input=stdin, capture_output=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["0x800B0100"], b"[no-signature]"),
        (["-2146762496"], b"[no-signature]"),
        (["TRUST_E_NOSIGNATURE"], b"[no-signature]"),
        (["exit", "6"], b"[exit-none-signed]"),
        (["SignTool Error: No private key is available."], b"[private-key-unavailable]"),
    ],
)
def test_known_failure_is_explained_with_exit_code_0(words: list[str], expected: bytes) -> None:
    done = _explain(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert expected in done.stdout
    assert b"  cause:  " in done.stdout
    assert b"  remedy: " in done.stdout


def test_a_number_alone_is_asked_whose_it_is() -> None:
    done = _explain("4")
    assert done.returncode == EXIT_NOT_KNOWN
    assert b"not known: 4\n" in done.stdout
    (hint,) = (line for line in done.stdout.decode().splitlines() if "kspsign explain " in line)
    assert _explain(*hint.partition("kspsign explain ")[2].split()).returncode == 0


def test_standard_input_is_read_also_as_windows_powershell_writes_it() -> None:
    text = "SignTool Error: File not found: x.exe\r\n"
    for content in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), b"\xff" + text.encode()):
        done = _explain("-", stdin=content)
        assert done.returncode == 0, content
        assert b"[file-not-found]" in done.stdout


def test_unknown_is_said_to_be_unknown() -> None:
    done = _explain("the", "moon")
    assert done.returncode == EXIT_NOT_KNOWN
    assert done.stdout.startswith(b"not known: the moon")
