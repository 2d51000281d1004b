"""A run of kspsign under watch: every file it opens or removes, and every child with arguments and environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WATCH = """
import json, os, sys

record = open(sys.argv.pop(1), "a", encoding="utf-8")

def write(kind, text):
    record.write(json.dumps([kind, text]) + "\\n")
    record.flush()

def removed(path, folder):
    try:
        handle = os.open(path, os.O_RDONLY, dir_fd=None if folder == -1 else folder)
    except OSError:
        return
    with open(handle, "rb") as file:
        write("removed", oct(os.fstat(handle).st_mode & 0o777) + " " + file.read().decode("latin-1"))

def watch(event, arguments):
    if event == "subprocess.Popen":
        _program, command, _folder, environment = arguments
        given = dict(os.environ) if environment is None else environment
        write("child", [[str(word) for word in command], {str(name): str(value) for name, value in given.items()}])
    elif event in {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}:
        write("child", [[event, repr(arguments)], dict(os.environ)])
    elif event == "os.remove":
        removed(*arguments)
    elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        write("opened", os.fsdecode(arguments[0]))

sys.addaudithook(watch)
from kspsign.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""Python itself tells of these events, whatever library causes them."""


@dataclass(frozen=True)
class Child:
    """A program that was started: its arguments and its environment."""

    command: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Watched:
    """What a run printed, the children it started, mode and content of the files it removed, and how often each path
    was opened."""

    code: int
    text: str
    report: dict[str, Any]
    children: tuple[Child, ...]
    removed: tuple[str, ...]
    opened: Counter[str]


def kspsign_watched(*arguments: object, folder: Path, record: Path, environment: Mapping[str, str]) -> Watched:
    """Run kspsign in `folder`, where its report goes; what is seen is written to `record`, outside of it."""
    command = [sys.executable, "-c", _WATCH, record, *arguments, "--report", folder / "report.json"]
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    seen = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    report = json.loads((folder / "report.json").read_bytes())
    children = tuple(Child(*what) for kind, what in seen if kind == "child")
    removed = tuple(what for kind, what in seen if kind == "removed")
    opened = Counter(str(what) for kind, what in seen if kind == "opened")
    return Watched(done.returncode, done.stdout.decode(), report, children, removed, opened)
