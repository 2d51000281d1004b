"""The YAML that we give to people: files below pipelines/, and blocks in the documentation."""

from __future__ import annotations

import re
import textwrap

from support.places import ROOT

_BLOCK = re.compile(r"^( *)```yaml\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def pipeline_files() -> dict[str, str]:
    """Every YAML file below pipelines/, by its path."""
    paths = sorted((ROOT / "pipelines").rglob("*.yml"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def documentation_blocks() -> dict[str, str]:
    """Every YAML block of the documentation that is a pipeline or a list of its steps, jobs or stages."""
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "task" / "overview.md"]
    found: dict[str, str] = {}
    for source in sorted(sources):
        for number, (_indent, block) in enumerate(_BLOCK.findall(source.read_text(encoding="utf-8")), start=1):
            text = textwrap.dedent(block)
            if "uses: " in text:
                continue  # a workflow of GitHub Actions
            found[f"{source.relative_to(ROOT).as_posix()}#{number}"] = _whole(text)
    return found


def _whole(text: str) -> str:
    """A list stands for the part of a pipeline that such a list is."""
    first = re.match(r"(?:#.*\n)*- (\w+):", text)
    if first is None:
        return text
    return {"job": "jobs:\n", "deployment": "jobs:\n", "stage": "stages:\n"}.get(first[1], "steps:\n") + text
