"""What terminals, build servers, issue trackers and word processors do to a text changes nothing of its explanation."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Callable, Iterator

import pytest

from kspsign.diagnosis import diagnose
from kspsign.diagnosis.catalogue import catalogue
from kspsign.diagnosis.clean import cleaned, unwrapped, words_of

ANSWERS = {example: failure.id for failure in catalogue().failures for example in failure.examples}
NUMBERS = sorted(catalogue().by_number)


def lines_after(prefix: str) -> Callable[[str], str]:
    """A log whose every line, of 72 characters at most, begins with `prefix`."""
    return lambda text: "\n".join(prefix + line for line in _lines(text, 72))


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def cut(text: str) -> str:
    """As a console of 60 columns shows it: cut anywhere."""
    return "\r\n".join(text[start : start + 60] for start in range(0, len(text), 60))


def coloured(text: str) -> str:
    return " ".join(f"\x1b[31;1m{word}\x1b[0m" for word in text.split(" "))


def typographic(text: str) -> str:
    for plain, set_ in (("'", "\u2019"), ("...", "\u2026"), (" (", "\u00a0(")):
        text = text.replace(plain, set_)
    return text


CHANGES: dict[str, Callable[[str], str]] = {
    "colours": coloured,
    "colours without ESC": lambda text: f"[31m{text}[0m",
    "a link of a terminal": lambda text: f"\x1b]8;;https://example.org\x07{text}\x1b]8;;\x07",
    "Azure Pipelines": lines_after("2026-11-29T10:15:30.1234567Z ##[error]"),
    "Azure Pipelines, debug": lines_after("##[debug]"),
    "GitHub": lines_after("2026-11-29T10:15:30.1234567Z "),
    "GitHub command": lambda text: f"::error file=src/app.csproj,line=3,title=Sign::{text}",
    "Jenkins": lines_after("[2026-11-29T10:15:30.123Z] "),
    "TeamCity": lines_after("[10:15:30][Step 4/7] "),
    "TeamCity, error": lines_after("[10:15:30]E: "),
    "Ant": lines_after("     [exec] "),
    "Maven": lines_after("[ERROR] "),
    "npm": lines_after("npm ERR! "),
    "docker compose": lines_after("signer-1  | "),
    "MSBuild node": lines_after("1>"),
    "MSBuild": lambda text: f"EXEC : error : {text}",
    "MSBuild, timed": lines_after("10:15:30.123     1>"),
    "Python logging": lines_after("2026-11-29 10:15:30,123 - winsign.sign - ERROR - "),
    "Python logging, basic": lines_after("ERROR:winsign.sign:"),
    "syslog": lines_after("Nov 29 10:15:30 build-1 signer[4711]: "),
    "electron-builder": lines_after("  \u2022 "),
    "Terraform": lines_after("\u2502 "),
    "quoted in an issue": lines_after("> "),
    "German time": lines_after("29.11.2026 10:15:30 "),
    "American time": lines_after("11/29/2026 10:15:30 AM "),
    "wrapped between words": lambda text: "\r\n        ".join(_lines(text, 40)),
    "cut within words": cut,
    "HTML": html.escape,
    "JSON": lambda text: json.dumps(text)[1:-1],
    ".NET's JSON": lambda text: text.replace('"', "\\u0022").replace("'", "\\u0027"),
    "typographic": typographic,
    "UTF-16 read as bytes": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "a byte order mark": lambda text: f"\ufeff{text}",
    "among other lines": lambda text: (
        f"Run ./sign.ps1\nSigning 3 files\n{text}\nError: Process completed with exit code 1."
    ),
    "in backquotes": lambda text: f"I get `{text}`",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_example_is_explained_as_before(change: str) -> None:
    other = {
        example: found
        for example, expected in ANSWERS.items()
        if (found := [diagnosis.id for diagnosis in diagnose(CHANGES[change](example))][:3])[:1] != [expected]
        and not _begins_with_its_pattern(example, change)
    }
    assert not other


def _begins_with_its_pattern(example: str, change: str) -> bool:
    """Whether an example is a whole question of few words ("CSP"), which means nothing inside a longer text."""
    return change in {"among other lines", "in backquotes"} and len(example.split()) < 4


FORMS: dict[str, Callable[[int], str]] = {
    "0x, capitals": lambda number: f"0x{number:08X}",
    "0x, small": lambda number: f"0x{number:08x}",
    "signed": lambda number: str(number - 2**32),
    "signed, typographic": lambda number: f"\u2212{2**32 - number}",
    "signed, with separators": lambda number: f"{number - 2**32:,}",
    "unsigned": str,
    "64 bits": lambda number: f"0xFFFFFFFF{number:08X}",
    "Visual Basic": lambda number: f"&H{number:08X}",
    "WinDbg": lambda number: f"0x{number >> 16:04x}'{number & 0xFFFF:04x}",
    "C": lambda number: f"0x{number:08X}L",
    "in brackets": lambda number: f"[{number - 2**32}/0x{number:08x}]",
    "HRESULT": lambda number: f"HRESULT: 0x{number:08X} (Exception from",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_code_is_found_in_every_form(form: str) -> None:
    other = {
        f"0x{number:08X}": found
        for number in NUMBERS
        if catalogue().by_number[number].id
        not in (found := [diagnosis.id for diagnosis in diagnose(f"it failed with {FORMS[form](number)} at once")])
    }
    assert not other


def truncated() -> Iterator[tuple[str, int]]:
    """Three quarters of each long text that begin no text of another code."""
    for message, number in catalogue().messages:
        words = message.split()
        text = " ".join(words[: len(words) * 3 // 4])
        others = [other for other, code in catalogue().messages if code != number]
        if len(words) > 8 and not any(other.startswith(text) for other in others):
            yield text, number


def test_a_sentence_of_windows_that_was_cut_off_is_still_that_of_its_code() -> None:
    known = catalogue()
    other = {}
    for text, number in truncated():
        expected = known.of_number(number)
        found = [diagnosis.id for diagnosis in diagnose(f"SignTool Error: {text}...")]
        if expected is None or found[:1] != [expected.id]:
            other[text] = found
    assert not other


def test_what_is_added_is_taken_away_and_nothing_else() -> None:
    for text in (
        "C:\\new\\results\\u.exe [1/2] a",
        "dist/app.exe: no signature",
        "[ForbiddenByRbac (Forbidden)] Caller",
        "1.2",
    ):
        assert cleaned(text) == text
    assert words_of(cleaned("SignTool error : No\r\n\tsignature")) == "SignTool error: No signature"
    assert unwrapped("0x800B\r\n0109") == "0x800B0109"
