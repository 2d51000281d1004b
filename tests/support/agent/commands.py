"""Logging commands as the Azure Pipelines agent reads them: `##vso[area.event key=value;...]data` in a line."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "##vso["
_ESCAPES = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%AZP25", "%"))


@dataclass(frozen=True, slots=True)
class Command:
    """One parsed command; the keys of `properties` are in lower case, since the agent ignores their case."""

    area: str
    event: str
    properties: dict[str, str]
    data: str

    @property
    def name(self) -> str:
        """Area and event as written between the brackets, in lower case."""
        return f"{self.area}.{self.event}".lower()

    def flag(self, key: str) -> bool:
        """A boolean property: only "true", in any case, is true."""
        return self.properties.get(key, "").strip().lower() == "true"


def parse(line: str) -> Command | None:
    """The first command anywhere in `line`, or None where the agent would find none."""
    start = line.find(PREFIX)
    end = line.find("]", start)
    if start < 0 or end < 0:
        return None
    name, _space, written = line[start + len(PREFIX) : end].partition(" ")
    parts = [part for part in name.split(".") if part]
    if len(parts) != len(("area", "event")):
        return None
    properties = {}
    for part in written.split(";"):
        key, _equals, value = part.partition("=")
        if key and value:
            properties[key.strip().lower()] = unescape(value)
    return Command(parts[0], parts[1], properties, unescape(line[end + 1 :]))


def unescape(text: str) -> str:
    """Undo the escapes in the agent's order: the percent sign comes last."""
    for escaped, plain in _ESCAPES:
        text = text.replace(escaped, plain)
    return text
