"""JUnit files as the agent's reader takes them (`results.publish type=JUnit`)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from support.agent.taskrun import Case


def read_junit(path: Path) -> tuple[Case, ...]:
    """The cases of a file, counted from the cases themselves; ET.ParseError or ValueError if it is invalid."""
    root = ET.fromstring(path.read_bytes())  # noqa: S314 -- the file under test, written by the task itself
    if root.tag not in {"testsuites", "testsuite"}:
        raise ValueError(f"{path.name}: the root is {root.tag}")
    return tuple(_cases(root))


def _cases(suite: ET.Element) -> Iterator[Case]:
    for child in suite:
        if child.tag == "testsuite":
            yield from _cases(child)
        elif child.tag == "testcase" and child.get("name"):
            yield _case(child)


def _case(element: ET.Element) -> Case:
    name, storage = element.get("name", ""), element.get("classname")
    seconds = float(element.get("time") or 0)
    skipped = element.find("skipped")
    for kind in ("failure", "error"):
        fault = element.find(kind)
        if fault is not None:
            # Only a failed case keeps its output: the reader drops it for all others.
            output = element.findtext("system-out")
            return Case(name, storage, "Failed", seconds, fault.get("message"), fault.text, output)
    if skipped is not None:
        return Case(name, storage, "NotExecuted", seconds, skipped.get("message"), None, None)
    return Case(name, storage, "Passed", seconds, None, None, None)
