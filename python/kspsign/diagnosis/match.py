"""Finds the known failures that a program's output or a code indicates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from kspsign.diagnosis.catalogue import Catalogue, Failure, catalogue
from kspsign.diagnosis.clean import cleaned, unwrapped, words_of
from kspsign.diagnosis.filters import dropped_by

TEXT_LIMIT = 1_000_000
"""Characters of a text that are looked at: the last ones, where a program says why it ended."""

_HEX = re.compile(r"(?:\b0x|&h)(?:f{8})?([0-9a-f]{4})['`_ ]?([0-9a-f]{4})l?\b")
_HEX_IN_TEXT = re.compile(r"(?<![\w-])(8[0-9a-f]{7}|c000[0-9a-f]{4})h?(?![\w-])")
_UNSIGNED_IN_TEXT = re.compile(r"(?<![\w.-])([2-4]\d{9})\b")
_BARE_HEX = re.compile(r"(?:0x)?([89a-f][0-9a-f]{7})")
_SIGNED = re.compile(r"(?<![\w.-])-(\d{9,10})\b")
_UNSIGNED = re.compile(r"\d{10}")
_NAME = re.compile(r"\b[A-Z][A-Z0-9_]{3,}\b")
_WINDOWS_NAME = re.compile(r"\b(?:trust_e|cert_e|crypt_e|nte|scard_[ew]|sec_e|appx_e|error|status)_[a-z0-9_]{2,50}\b")
_AROUND = " \t.,;:!?\"'`()[]{}<>"
_PROGRAM = r"(kspsign|signtool|smctl|msiexec|regsvr32)(?:\.exe)?"
_ASKED_EXIT = re.compile(rf"(?:{_PROGRAM} )?exit(?:ed)?(?: with)?(?: code)? (\d{{1,10}})")
_SEEN_EXIT = re.compile(rf"\b{_PROGRAM}['\"]? (?:failed |exited |ended )?(?:with )?(?:exit )?code (\d{{1,10}})\b")
_SHOWN = 160
_UNWRAPPED = 100_000
"""Characters, the last ones, that are read again as if lines had been cut in the middle of words."""
_MOST_CODES = 100
_SHORT_MESSAGE = 4
"""Words that a text of Windows must have to be believed inside a longer text."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A known failure as it applies: why, what to do, who can, and the words or code that gave it away (`seen`).

    `exact` is False when only the family of a code is known. `audience` are roles ("agent administrator").
    `seen` may hold words from outside.
    """

    id: str
    title: str
    cause: str
    remedy: str
    audience: tuple[str, ...]
    requirements: tuple[str, ...]
    sources: tuple[str, ...]
    seen: str
    exact: bool


@dataclass(slots=True)
class _Findings:
    """Failures found so far with their rank: what says most first, then the order of the catalogue."""

    known: Catalogue
    ranked: dict[tuple[str, str], tuple[tuple[int, int], Failure, Diagnosis]]

    def add(self, failure: Failure | None, seen: str, *, level: int, number: int = 0, place: int | None = None) -> None:
        """Take `failure` in, if there is one; `place` is its place within the level, by default the catalogue's."""
        if failure is None:
            return
        place = self.known.position[failure.id] if place is None else place
        key = (failure.id, seen if failure.range else "")
        rank = (level + _LEVELS * failure.symptom + 2 * _LEVELS * failure.general, place)
        if key not in self.ranked or rank < self.ranked[key][0]:
            self.ranked[key] = (rank, failure, _diagnosis(failure, seen, number))

    def number(self, number: int, *, level: int, seen: str | None = None) -> None:
        self.add(self.known.of_number(number), seen or f"0x{number:08X}", level=level, number=number)

    def says_why(self) -> bool:
        """Whether more than symptoms and families of codes were found."""
        return any(not (failure.symptom or failure.general) for _, failure, _ in self.ranked.values())

    def best_first(self) -> tuple[Diagnosis, ...]:
        """All of them, but for what others in the same text explain better; what a code named stays."""
        found = sorted(self.ranked.values(), key=lambda entry: entry[0])
        worse = {name for _, failure, _ in found for name in failure.replaces}
        if not all(failure.symptom for _, failure, _ in found):
            worse |= {failure.id for _, failure, _ in found if failure.symptom}
        return tuple(
            diagnosis
            for (level, _), failure, diagnosis in found
            if level % _LEVELS == _GIVEN or failure.id not in worse
        )


_LEVELS = 5
_FILTER, _GIVEN, _TEXT, _VAGUE = range(4)


def diagnose(text: str, *, code: str | None = None, hresult: int | None = None) -> tuple[Diagnosis, ...]:
    """The known failures that `text` shows and `code` and `hresult` (signed or unsigned) name, best first.

    `text` is a program's output, a line of it, or a code in any notation ("0x800B0100", "-2146762496",
    "TRUST_E_NOSIGNATURE", "KEY_MISMATCH", "exit 6", "signtool exit 2"). Time is linear in its length.
    """
    findings = _Findings(catalogue(), {})
    if code is not None:
        findings.add(findings.known.by_name.get(code), code, level=_GIVEN)
    if hresult is not None:
        findings.number(hresult & 0xFFFFFFFF, level=_GIVEN)
    text = cleaned(text[-TEXT_LIMIT:])
    words = words_of(text)
    _find_code(words.strip(_AROUND), findings)
    _find_in_text(words, findings)
    if not findings.says_why():
        _find_in_text(unwrapped(text[-_UNWRAPPED:]), findings)
    return findings.best_first()


def _find_code(words: str, findings: _Findings) -> None:
    """`words` as a whole may be one code, however it is written."""
    findings.add(findings.known.by_name.get(words.upper()), words, level=_GIVEN)
    if found := _BARE_HEX.fullmatch(words.lower()):
        findings.number(int(found[1], 16), level=_GIVEN)
    elif _UNSIGNED.fullmatch(words) and int(words) >> 31 == 1:
        findings.number(int(words), level=_GIVEN)
    elif found := _ASKED_EXIT.fullmatch(words.lower()):
        _find_exit(found[1] or "kspsign", int(found[2]), findings)


def _find_exit(program: str, code: int, findings: _Findings) -> None:
    findings.add(findings.known.by_exit.get((program, code)), f"{program} exit code {code}", level=_TEXT)
    if 0x80000000 <= code <= 0xFFFFFFFF:
        findings.number(code, level=_TEXT)


def _find_in_text(words: str, findings: _Findings) -> None:
    lower = words.lower()
    for place, dropped in enumerate(dropped_by(lower)):
        findings.add(findings.known.by_filter.get(dropped.name), dropped.line, level=_FILTER, place=place)
    for search, failure in findings.known.searches:
        if seen := search.find(lower):
            findings.add(failure, seen[:_SHOWN], level=_TEXT)
    names = (*_NAME.findall(words), *(name.upper() for name in _WINDOWS_NAME.findall(lower)))
    for name in dict.fromkeys(names):
        findings.add(findings.known.by_name.get(name), name, level=_TEXT)
    for number in _numbers(lower)[:_MOST_CODES]:
        findings.number(number, level=_TEXT)
    _find_messages(lower, findings)
    for program, code in dict.fromkeys(_SEEN_EXIT.findall(lower)):
        _find_exit(program, int(code), findings)


def _numbers(lower: str) -> list[int]:
    """The Windows codes in a text, each once: with 0x, as a negative number, or eight hexadecimal digits alone."""
    numbers = [int(high + low, 16) for high, low in _HEX.findall(lower)]
    numbers += [0x100000000 - int(digits) for digits in _SIGNED.findall(lower)]
    known = catalogue().by_number
    alone = (int(digits, 16) for digits in _HEX_IN_TEXT.findall(lower))
    numbers += [number for number in alone if number in known or _is_of_a_family(number)]
    numbers += [number for number in map(int, _UNSIGNED_IN_TEXT.findall(lower)) if number in known]
    return list(dict.fromkeys(number for number in numbers if 0x80000000 <= number <= 0xFFFFFFFF))


def _is_of_a_family(number: int) -> bool:
    """Whether digits without 0x are a code rather than, say, the beginning of a commit's hash: only of HTTP here."""
    found = catalogue().of_number(number)
    return found is not None and not found.general


def _find_messages(lower: str, findings: _Findings) -> None:
    """Windows' own text of a code says what the code says; a text of two or three words may be anybody's."""
    for message, number in findings.known.messages:
        if message in lower:
            vague = len(message.split()) < _SHORT_MESSAGE and lower.strip(". ") != message
            findings.number(number, level=_VAGUE if vague else _TEXT, seen=message)
            lower = lower.replace(message, "|")
    for beginning, number in findings.known.beginnings:
        if beginning in lower:
            findings.number(number, level=_VAGUE, seen=beginning)


def _diagnosis(failure: Failure, seen: str, number: int) -> Diagnosis:
    title, cause, remedy = failure.title, failure.known_cause, failure.known_remedy
    if failure.range:
        low = number & 0xFFFF
        phrase = HTTPStatus(low).phrase if low in set(HTTPStatus) else "status without a name"
        values = {"hex": f"0x{number:08X}", "low": low, "status": low, "phrase": phrase}
        title, cause, remedy = (part.format(**values) for part in (title, cause, remedy))
    return Diagnosis(
        failure.id,
        title,
        cause,
        remedy,
        failure.audience,
        failure.requirements,
        failure.sources,
        seen,
        exact=not failure.general,
    )
