"""The known failures of failures.yml, read once, and only when needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kspsign.diagnosis.literals import required_literals
from kspsign.model.hresults import Hresult

Group = Literal[
    "certificate", "key", "digicert", "format", "timestamp", "verify", "network", "windows", "kspsign", "terms", "exits"
]
Audience = Literal["pipeline author", "agent administrator", "certificate owner", "developer"]
FilterName = Literal[
    "none", "eku", "expiry", "hash", "subject-name", "issuer-name", "root-name", "template-name", "private-key"
]
_BOUNDLESS = re.compile(r"(?<!\\)(?:[*+]|\{\d{0,6},\})")
_FEWEST_WORDS = 5
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")


class Failure(BaseModel):
    """One known failure: matchers, cause, remedy, and who can put it right.

    `windows` names the member of Hresult whose number and name it answers to and whose texts explain it; all others
    state `cause` and `remedy`. `patterns` match when one is found, all of `also` are and none of `unless` is.
    `range` covers the HRESULTs from first to last that no other entry names; its texts hold {hex}, {low} (the low
    16 bits in decimal), {status} and {phrase} (of HTTP). `general` marks what is said of a code that is not known
    in particular, `symptom` what is only worth saying when nothing else is found, and `replaces` the failures that
    this one explains better in the same text. `examples` are lines as programs print them, of which each leads here
    first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    group: Group
    title: str
    examples: tuple[str, ...] = ()
    windows: str | None = None
    numbers: dict[str, int] = {}
    range: tuple[int, int] | None = None
    codes: tuple[str, ...] = ()
    exits: dict[str, tuple[int, ...]] = {}
    filters: tuple[FilterName, ...] = ()
    patterns: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    general: bool = False
    symptom: bool = False
    replaces: tuple[str, ...] = ()
    cause: str = ""
    remedy: str = ""
    audience: tuple[Audience, ...] = Field(min_length=1)
    requirements: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @field_validator("patterns", "also", "unless")
    @classmethod
    def _searches_in_linear_time(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern != pattern.lower() or _BOUNDLESS.search(_CLASS.sub("", pattern)):
                raise ValueError(f"{pattern!r} must be in lower case and repeat only within stated bounds")
        return patterns

    @model_validator(mode="after")
    def _is_explained_once(self) -> Self:
        if (self.windows is None) != bool(self.cause and self.remedy) or bool(self.cause) != bool(self.remedy):
            raise ValueError(f"{self.id}: either cause and remedy, or the Hresult that has them")
        if not (
            self.windows or self.numbers or self.range or self.codes or self.exits or self.filters or self.patterns
        ):
            raise ValueError(f"{self.id}: nothing matches it")
        return self

    @property
    def known_cause(self) -> str:
        """Why it happens; for a Windows code in the words of Hresult."""
        return Hresult[self.windows].meaning if self.windows else self.cause

    @property
    def known_remedy(self) -> str:
        """What to do; for a Windows code in the words of Hresult."""
        return Hresult[self.windows].remedy if self.windows else self.remedy

    @property
    def all_numbers(self) -> dict[str, int]:
        """Every Windows code it answers to, by name."""
        own = {self.windows: Hresult[self.windows].number} if self.windows else {}
        return own | self.numbers


@dataclass(frozen=True, slots=True)
class Search:
    """One pattern of a failure with its conditions and the words of which each match holds one.

    Compiled when it is first needed: most never are, and all of them take longer than to read the catalogue.
    """

    pattern: str
    literals: tuple[str, ...]
    also: tuple[str, ...]
    unless: tuple[str, ...]

    def find(self, text: str) -> str | None:
        """The words found in `text` (lower case, single spaces), or None."""
        if self.literals and not any(literal in text for literal in self.literals):
            return None
        found = re.search(self.pattern, text)
        if found is None or not all(re.search(other, text) for other in self.also):
            return None
        return None if any(re.search(other, text) for other in self.unless) else found[0]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All failures in order of priority, and the indexes that find them.

    `messages` are Windows' own texts of its codes in several languages, in lower case, the longest first; `beginnings`
    are the first words of each that no other text begins with, by which one that was cut off is recognised.
    """

    failures: tuple[Failure, ...]
    position: dict[str, int]
    by_name: dict[str, Failure]
    by_number: dict[int, Failure]
    by_exit: dict[tuple[str, int], Failure]
    by_filter: dict[str, Failure]
    ranges: tuple[tuple[int, int, Failure], ...]
    searches: tuple[tuple[Search, Failure], ...]
    messages: tuple[tuple[str, int], ...]
    beginnings: tuple[tuple[str, int], ...]

    def of_number(self, number: int) -> Failure | None:
        """The failure of a 32-bit code: the one that names it, else the narrowest range around it."""
        around = (failure for first, last, failure in self.ranges if first <= number <= last)
        return self.by_number.get(number) or next(around, None)


@cache
def catalogue() -> Catalogue:
    """The failures that come with this version of kspsign."""
    failures = tuple(Failure(**entry) for entry in _load("failures.yml"))
    messages = _messages()
    ranges = [(*failure.range, failure) for failure in failures if failure.range]
    return Catalogue(
        failures,
        position={failure.id: index for index, failure in enumerate(failures)},
        by_name={name: failure for failure in failures for name in (*failure.all_numbers, *failure.codes)},
        by_number={number: failure for failure in failures for number in failure.all_numbers.values()},
        by_exit={(program, code): f for f in failures for program, codes in f.exits.items() for code in codes},
        by_filter={name: failure for failure in failures for name in failure.filters},
        ranges=tuple(sorted(ranges, key=lambda entry: entry[1] - entry[0])),
        searches=tuple((_search(pattern, f), f) for f in failures for pattern in f.patterns),
        messages=tuple(sorted(messages.items(), key=lambda entry: -len(entry[0]))),
        beginnings=tuple(_beginnings(messages)),
    )


def _messages() -> dict[str, int]:
    """Windows' own texts in lower case, English and translated, with their codes; of equal texts the first counts."""
    languages = [_load("windows_messages.yml"), *_load("windows_messages_translated.yml").values()]
    texts = [(text.lower(), number) for language in languages for number, text in language.items()]
    return dict(reversed(texts))


def _beginnings(messages: dict[str, int]) -> Iterator[tuple[str, int]]:
    """The fewest first words of each text, at least five, that begin no text of another code."""
    for message, number in messages.items():
        others = [other for other, code in messages.items() if code != number]
        words = message.split()
        for count in range(_FEWEST_WORDS, len(words)):
            beginning = " ".join(words[:count])
            if not any(other.startswith(beginning) for other in others):
                yield beginning, number
                break


def _load(name: str) -> Any:
    text = resources.files("kspsign.diagnosis").joinpath(name).read_text(encoding="utf-8")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one where it was built: ten times faster
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe one either way


def _search(pattern: str, failure: Failure) -> Search:
    return Search(pattern, required_literals(pattern), failure.also, failure.unless)
