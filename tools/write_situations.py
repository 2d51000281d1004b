"""Write docs/reference/situations.md from tests/integration/situations; a test compares the two, and tries each row.

explained.toml has lines of public reports with the failures that `kspsign explain` may name first; tried.toml has
situations with the tests that run them through the program.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "integration" / "situations"
PAGE = ROOT / "docs" / "reference" / "situations.md"
MATRIX = "fault matrix: "
_FAILURE = re.compile("error:|failed|not |refused|denied|0x", re.IGNORECASE)
HEAD = """# Situations of public reports

{count} situations in which signing fails or misleads, most of them from public reports of other tools: SignTool, smctl,
AzureSignTool, dotnet sign, jsign, osslsigncode, electron-builder, NuGet, and the tasks and actions around them. Each
is tried by a test. The first {explained} are texts as people pasted them: `kspsign explain` names the failure. The
others are run through the program, in a test or as a row of the [fault matrix](../fault-matrix.md).

<!-- Written by tools/write_situations.py from tests/integration/situations/. -->
"""


@dataclass(frozen=True)
class Explained:
    """Lines that a program printed (`said`), the failures of which one must be named first, and where it was seen."""

    said: str
    means: Sequence[str]
    source: str


@dataclass(frozen=True)
class Tried:
    """A situation and the test that runs it: "file::test" below tests/, or MATRIX and a row; `source` or ""."""

    what: str
    test: str
    source: str = ""


def explained() -> Mapping[str, Sequence[Explained]]:
    """The texts by group. Raises TypeError for a row with other keys."""
    return {group: [Explained(**row) for row in table["rows"]] for group, table in _read("explained.toml").items()}


def tried() -> Mapping[str, Sequence[Tried]]:
    """The situations by group. Raises TypeError for a row with other keys."""
    return {group: [Tried(**row) for row in table["rows"]] for group, table in _read("tried.toml").items()}


def page() -> str:
    """The page for the rows as they are now."""
    texts, runs = explained(), tried()
    count = sum(map(len, texts.values()))
    parts = [HEAD.format(count=count + sum(map(len, runs.values())), explained=count)]
    for group, texts_of_group in texts.items():
        parts.append(f"\n## {group}\n\n| What was printed | Failure | Seen in |\n| --- | --- | --- |\n")
        parts += [f"| {_code(row.said)} | {_failures(row.means)} | {_link(row.source)} |\n" for row in texts_of_group]
    for group, runs_of_group in runs.items():
        parts.append(f"\n## {group}\n\n| Situation | Tried by | Seen in |\n| --- | --- | --- |\n")
        parts += [f"| {_plain(row.what)} | {_test(row.test)} | {_link(row.source)} |\n" for row in runs_of_group]
    return "".join(parts)


def _read(name: str) -> dict[str, dict[str, list[dict[str, str]]]]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def _code(text: str) -> str:
    """The first line about a failure, at most 100 characters of it, as code in a table's cell."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    line = next((line for line in lines if _FAILURE.search(line)), lines[0])
    shown = " ".join(line.split())
    shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
    return f"`` {shown.replace('``', '` `')} ``".replace("|", "\\|")


def _failures(means: Sequence[str]) -> str:
    return " or ".join(f"[{name}](../troubleshooting.md#{name})" for name in means)


def _test(name: str) -> str:
    if name.startswith(MATRIX):
        return f"[fault matrix](../fault-matrix.md): {_plain(name.removeprefix(MATRIX))}"
    return f"`{name}`"


def _link(source: str) -> str:
    if not source:
        return ""
    repository, number = source.split("#")
    return f"[{source}](https://github.com/{repository}/issues/{number})"


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|$#])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    print(PAGE)
