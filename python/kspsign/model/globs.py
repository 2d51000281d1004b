"""Glob patterns in the dialect of Azure Pipelines (minimatch): what one name of a path may be, and brace expansion.

`*`, `?`, `[a-z]`, `[!a]` and the groups `?(a|b)`, `*(a|b)`, `+(a|b)`, `@(a|b)`, `!(a|b)` match within a name; `{a,b}`
and `{1..3}` expand to several patterns. A special character in brackets matches itself: `[[]`, `[{]`, `[(]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

MAX_ALTERNATIVES = 500
"""Patterns that the braces of one may expand to."""
_GROUP = re.compile(r"[?*+@!]\(")
_RANGE = r"(-?\d{1,6})\.\.(-?\d{1,6})|([A-Za-z])\.\.([A-Za-z])"
_REPEATED = {"?": "?", "*": "*", "+": "+", "@": ""}


def has_wildcards(part: str) -> bool:
    """Whether a name of a path, or a path, may match more than itself."""
    return re.search(r"[*?\[]", part) is not None or _GROUP.search(part) is not None


@lru_cache(maxsize=4096)
def name_regex(part: str) -> re.Pattern[str]:
    """What matches the names that `part` of a pattern means, as a whole."""
    return re.compile(rf"(?s:{_translate(part)})\Z")


def expand_braces(pattern: str) -> tuple[str, ...]:
    """The patterns that `pattern` expands to. Raises ValueError for more than MAX_ALTERNATIVES."""
    found = tuple(islice(_expanded(pattern), MAX_ALTERNATIVES + 1))
    if len(found) > MAX_ALTERNATIVES:
        raise ValueError(f"its braces expand to more than {MAX_ALTERNATIVES} patterns")
    return tuple(dict.fromkeys(found))


def may_end_in(pattern: str, suffix: str) -> bool:
    """Whether `pattern` says in so many words that a name ends in `suffix`, be it in one of the choices of a group."""
    choices = re.sub(r"[?*+@]\(([^()|]*(?:\|[^()|]*)+)\)", lambda group: f"{{{group[1].replace('|', ',')}}}", pattern)
    choices = re.sub(r"[?*+@]\(([^()|]*)\)", r"\1", choices)
    return any(text.lower().endswith(suffix) for text in islice(_expanded(choices), MAX_ALTERNATIVES))


def has_group_of_paths(pattern: str) -> bool:
    """Whether a group `@(a/b|c)` holds a separator of folders, which no name has."""
    groups = ((at.end(), _end_of_group(pattern, at.end())) for at in _GROUP.finditer(pattern))
    return any("/" in pattern[begin:end] for begin, end in groups if end >= 0)


def pattern_fault(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a pattern that means something else than it seems to, and the remedy; None for nothing."""
    if ";" in pattern.replace("[;]", ""):
        remedy = "Give each pattern on a line, or as an item, of its own; [;] matches the character itself."
        return "holds a semicolon", remedy
    if len(pattern) > 1 and pattern[0] == pattern[-1] and pattern[0] in "\"'":
        return "is in quotation marks", "Leave them out: blanks in a pattern need none."
    if has_group_of_paths(pattern):
        return "holds a group with a folder in it", "Use braces: {bin/x,obj}/*.dll."
    return None


def matches_path(pattern: str, path: str) -> bool:
    """Whether `path`, with `/` between folders, is named by `pattern`; `**` is any number of folders.

    Raises ValueError for a pattern whose braces expand to more than MAX_ALTERNATIVES.
    """
    return pattern == path or any(parts_match(parts, path.split("/")) for parts in _alternatives(pattern))


@lru_cache(maxsize=1024)
def _alternatives(pattern: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(alternative.split("/")) for alternative in expand_braces(pattern))


def parts_match(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a path of these `names` is named by a pattern of these `parts`, without braces."""
    if not parts:
        return not names
    if parts[0] == "**":
        return any(parts_match(parts[1:], names[start:]) for start in range(len(names) + 1)) or len(parts) == 1
    return bool(names) and bool(name_regex(parts[0]).match(names[0])) and parts_match(parts[1:], names[1:])


def _translate(text: str) -> str:
    at = 0
    said: list[str] = []
    while at < len(text):
        char = text[at]
        end = _end_of_group(text, at + 2) if _GROUP.match(text, at) else -1
        if end >= 0:
            choices = "|".join(map(_translate, _choices(text[at + 2 : end])))
            if char == "!":
                rest = _translate(text[end + 1 :])
                return f"{''.join(said)}(?!(?:{choices}){rest}\\Z).*{rest}"
            said.append(f"(?:{choices}){_REPEATED[char]}")
            at = end + 1
            continue
        closing = _end_of_class(text, at) if char == "[" else -1
        if closing >= 0:
            said.append(_class(text[at + 1 : closing]))
            at = closing + 1
            continue
        said.append({"*": ".*", "?": "."}.get(char) or re.escape(char))
        at += 1
    return "".join(said)


def _class(content: str) -> str:
    negated = content[0] in "!^" and len(content) > 1
    chars = content[1:] if negated else content
    ranges = [
        chars[at : at + 3] if chars[at + 1 : at + 2] == "-" and at + 2 < len(chars) else None
        for at in range(len(chars))
    ]
    said, at = [], 0
    while at < len(chars):
        span = ranges[at]
        if span is None:
            said.append(re.escape(chars[at]))
        elif span[0] <= span[2]:  # one that goes backwards holds nothing
            said.append(f"{re.escape(span[0])}-{re.escape(span[2])}")
        at += 1 if span is None else 3
    if not said:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(said)}]"


def _end_of_class(text: str, start: int) -> int:
    """Where the bracket at `start` closes, -1 when it does not; a `]` at its beginning is one of its characters."""
    at = start + 1
    if text[at : at + 1] in {"!", "^"}:
        at += 1
    return text.find("]", at + 1)


def _end_of_group(text: str, start: int) -> int:
    """Where the group that begins before `start` closes, -1 when it does not."""
    depth, at = 1, start
    while at < len(text):
        if text[at] == "[" and (closing := _end_of_class(text, at)) >= 0:
            at = closing
        elif text[at] in "()":
            depth += 1 if text[at] == "(" else -1
            if depth == 0:
                return at
        at += 1
    return -1


def _choices(text: str, separator: str = "|", opening: str = "(", closing: str = ")") -> list[str]:
    """The parts of `text` between separators that are in no inner group."""
    parts, depth, begin, at = [], 0, 0, 0
    while at < len(text):
        char = text[at]
        if char == "[" and (end := _end_of_class(text, at)) >= 0:
            at = end
        elif char in opening + closing:
            depth += 1 if char == opening else -1
        elif char == separator and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    return [*parts, text[begin:]]


def _expanded(text: str) -> Iterator[str]:
    for start, end in _braces(text):
        before, inner, after = text[:start], text[start + 1 : end], text[end + 1 :]
        choices = _choices(inner, ",", "{", "}")
        span = re.fullmatch(_RANGE, inner)
        if len(choices) == 1 and span is None:
            continue
        for choice in _span(span) if span is not None else choices:
            yield from (before + rest for rest in _expanded(choice + after))
        return
    yield text


def _braces(text: str) -> Iterator[tuple[int, int]]:
    """Where each pair of braces opens and closes, in the order in which they open."""
    at = 0
    while at < len(text):
        if text[at] == "[" and (closing := _end_of_class(text, at)) >= 0:
            at = closing
        elif text[at] == "{":
            depth = 0
            for end in range(at, len(text)):
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                if depth == 0:
                    yield at, end
                    break
        at += 1


def _span(found: re.Match[str]) -> Iterator[str]:
    first, last = (int(found[1]), int(found[2])) if found[1] else (ord(found[3]), ord(found[4]))
    numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
    yield from (str(number) if found[1] else chr(number) for number in numbers)
