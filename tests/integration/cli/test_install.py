"""What README promises at first sight: the exit codes, the demo's own words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kspsign.batch import outcomes
from kspsign.model import errors
from support.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def normalised(line: str) -> str:
    """`line` without what differs from run to run: thumbprint, times, which file came first."""
    line = re.sub(r"\b[0-9A-F]{40}\b", "THUMBPRINT", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", line)
    line = re.sub(r"(verified +pe +)\S+", r"\1FILE", line)
    return re.sub(r"(Results|Open in a browser): \S*demo", r"\1: demo", line)


def test_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "kspsign", "demo", str(tmp_path / "demo")],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    printed = [normalised(line) for line in run.stdout.splitlines()]
    block = README.split("$ make demo\n", 1)[1].split("```", 1)[0].splitlines()
    shown = [normalised(line) for line in block]
    before, after = shown[: shown.index("...")], shown[shown.index("...") + 1 :]
    assert printed[: len(before)] == before
    assert printed[-len(after) :] == after


def test_readme_lists_the_exit_codes() -> None:
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KspSignError)
    }
    decided = {value for name, value in vars(outcomes).items() if name.startswith("EXIT_")}
    assert listed == raised | decided


TRANSLATED = {"DialogueError", "RefusedCallError", "UnusableMessageError"}
"""What a program or a PKCS#11 module did wrong: each key store says in errors of the tree what that means for it."""


def test_every_error_is_of_the_one_tree() -> None:
    tree = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.KspSignError)
    }
    for path in (ROOT / "python" / "kspsign").rglob("*.py"):
        found = re.findall(r"^class (\w+)\((\w*(?:Error|Exception))\b", path.read_text("utf-8"), re.MULTILINE)
        for own, name in found:
            known = name in tree or path.name == "errors.py" or own in TRANSLATED
            assert known, f"{path}: an error outside the tree, derived from {name}"
