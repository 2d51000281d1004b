"""What `kspsign explain` makes of codes that are not known and of hostile text, and how long it takes."""

from __future__ import annotations

import io
import time

import pytest

from kspsign.cli.explain import EXIT_NOT_KNOWN, explain
from kspsign.diagnosis import diagnose


def test_family_of_an_unknown_code_counts_as_unknown() -> None:
    out = io.StringIO()
    assert explain(["0x80091234"], out) == EXIT_NOT_KNOWN
    assert out.getvalue().startswith("not known: 0x80091234\n")
    assert "0x8009xxxx" in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "##vso[task.setvariable variable=x]y",
        "\x1b[31m##[error]\u202e",
        'Signing of "##vso[task.complete result=Succeeded;]done" was failed',
        "signCommand command for file \u202e##[section]x.exe FAILED",
        "a\r\n##vso[task.complete]",
    ],
)
def test_hostile_words_are_shown_harmless(text: str) -> None:
    out = io.StringIO()
    explain([text], out)
    shown = out.getvalue()
    assert "##vso[" not in shown
    assert "##[" not in shown
    assert shown.isascii()
    assert "\x1b" not in shown


SIZE = 300_000
HOSTILE = [
    "a" * SIZE,
    "A_" * (SIZE // 2),
    "0x" * (SIZE // 2),
    "-2146762496 " * (SIZE // 12),
    "".join(f"0x8009{number % 65536:04X} " for number in range(SIZE // 11)),
    "signtool sign " * (SIZE // 14),
    "signcommand command for file " * (SIZE // 29),
    'signing of "' * (SIZE // 12),
    "status_code=404 " * (SIZE // 16),
    "The following certificates were considered: " * (SIZE // 44),
    "After Hash filter, 0 certs were left. " * (SIZE // 38),
    "expires: mon jan 01 00:00:00 2024 sha1 hash: " * (SIZE // 45),
    "##[" * (SIZE // 3),
    " \t\r\n" * (SIZE // 4),
    "\ud800\u0130\x00" * (SIZE // 3),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_time_is_linear_in_the_text(text: str) -> None:
    """Processor time of the whole against that of an eighth: a search that backtracks takes 64 times, not 8.

    What other work on the machine adds is never in all three.
    """
    diagnose("")
    eighth = min(_seconds(text[: len(text) // 8]) for _ in range(3))
    assert any(_seconds(text) < 12 * eighth + 0.1 for _ in range(3))


def _seconds(text: str) -> float:
    start = time.process_time()
    diagnose(text)
    return time.process_time() - start


def test_answer_to_a_flood_of_codes_stays_short() -> None:
    out = io.StringIO()
    explain(["".join(f"0x801901{number:02X} " for number in range(256))], out)
    assert len(out.getvalue().splitlines()) < 40
