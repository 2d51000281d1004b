"""The words of a pasted log, without what terminals, build servers and issue trackers add to each line.

Known failures are searched in words with single spaces. What people paste has colours, times, levels, quotation marks
of word processors and line breaks in the middle of a sentence or of a word. Every expression here repeats only within
stated bounds, so that time is linear in the text.
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,512}(?:\x07|\x1b\\)|[@-Z\\-_])|\[\d{0,3}(?:;\d{1,3}){0,4}m"
)
"""ANSI control sequences (ECMA-48), also those whose ESC was lost on the way."""
_NAMED = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">", "nbsp": " ", "#34": '"', "#39": "'", "#x27": "'"}
_ENTITY = re.compile(r"&(" + "|".join(_NAMED) + ");")
_JSON_CHARACTER = re.compile(r"\\u00(2[0-7b]|3[ce]|60)", re.IGNORECASE)
_JSON_BREAK = re.compile(r"\\r\\n")
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u2007\u202f\u3000\ufffd", " "),
        **dict.fromkeys("\x00\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u300c\u300d", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u2026": "...",
        "\uff1a": ":",
    }
)
"""Spaces, quotation marks and dashes of word processors; characters without width, and NUL of misread UTF-16."""
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_CLOCK = r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?[ap]m\b)?"
_ADDED = (
    rf"\[?\d{{4}}[-/]\d\d[-/]\d\d[t ]{_CLOCK}(?: ?(?:z|utc|[+-]\d\d:?\d\d))?\]?(?=[\s\[|#:,-]|$)",
    rf"\[?\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}},? {_CLOCK}\]?",
    rf"\[?{_CLOCK}\]?(?:[eiw]?:)?(?=[\s\[]|$)",
    rf"{_MONTH} {{1,2}}\d{{1,2}},? (?:\d{{4}},? )?{_CLOCK}(?: [\w.-]{{1,60}} [\w./-]{{1,40}}(?:\[\d{{1,7}}\])?:)?",
    r"##\[[a-z-]{1,20}\]",
    r"##vso\[[^\]\n]{1,300}\]",
    r"::(?:error|warning|notice|debug)(?: [^\n]{0,300}?)?::",
    r"\[(?:exec|error|warn(?:ing)?|info|debug|trace|fatal|fail|out|err|std(?:out|err)|step [^\]\n]{1,40})\]:?",
    r"- [\w.]{1,60} - (?:debug|info|warning|error|critical) -",
    r"(?:debug|info|warning|error|critical):[\w.]{1,60}:",
    r"(?:exec|custombuild|msbuild) ?: (?:error|warning)?(?: [a-z]{2,4}\d{1,5})? ?:?(?= )",
    r"\d{1,3}(?::\d{1,3})?>",
    r"[\w.-]{1,40} {1,30}\|(?= )",
    r"npm (?:err!|error)",
    r"[|>\u2502\u2022\u2a2f\u2716\u2717\u274c\u26a0\u25cf](?= )",
)
_LINE = re.compile(rf"^(?:[ \t]{{0,40}}(?:{'|'.join(_ADDED)})){{1,6}}", re.MULTILINE | re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"(?<![\d,])-?(?:\d{1,3},\d{3}|\d{3})(?:,\d{3}){2}(?![\d,])")
_LEVEL = re.compile(r"\b(signtool) (error|warning) :", re.IGNORECASE)


def cleaned(text: str) -> str:
    """`text` with its own line breaks, and without what was added to its lines."""
    text = _ESCAPES.sub("", text).translate(_CHARACTERS)
    text = _ENTITY.sub(lambda found: _NAMED[found[1]], text)
    text = _JSON_CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
    text = _JSON_BREAK.sub("\n", text).replace('\\"', '"')
    text = _COMMA_NUMBER.sub(lambda found: found[0].replace(",", ""), text)
    return _LINE.sub("", text)


def words_of(text: str) -> str:
    """The words of a cleaned text with single spaces: a sentence that was wrapped between words is whole again."""
    return _LEVEL.sub(r"\1 \2:", " ".join(text.split()))


def unwrapped(text: str) -> str:
    """The words of a cleaned text whose lines were cut at the width of a console, in the middle of words too."""
    return words_of("".join(line.strip("\r\n") for line in text.splitlines()))
