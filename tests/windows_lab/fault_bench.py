"""Where faults are injected into a whole run of kspsign on the lab's Windows, and what is then seen of it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any

from windows_lab.machine import ANSI, Windows

ALIASES = ("Contoso-Release", "Contoso-EC", "Contoso-Expired", "Contoso-Server", "Contoso-SelfSigned")
NO_ERROR = {"code": "", "message": "", "remedy": ""}
NOBODY = "http://127.0.0.1:9/"
TOOL_ENV = ("WINLAB", "WINLAB_STATE", "WINLAB_TSA_URL")
"""What the stand-ins of the lab read; a real smctl and KSP need SM_* alone."""
TIMEOUT_SECONDS = 600
_VOLATILE = (
    (re.compile(r"\b[0-9A-F]{40}\b"), "THUMBPRINT"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"127\.0\.0\.1:\d{4,}"), "127.0.0.1:PORT"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A Windows between two faults; what `cleanup` holds is undone after the run."""

    windows: Windows
    url: str
    cleanup: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what is broken, how the run is started, and what has to come of it.

    `code`, and what `cause` and `remedy` contain, belong to the error of the run, else of its first file that has
    one; "" where the run passes in spite of the fault, and `cause` is then looked for in its log. `signed` and
    `untouched` count what becomes of the matched files. `faults` are the lab's words by point, `programs` are
    unsigned ones below in/. In `patterns`, `urls` and `more`, {tsa}, {nobody}, {root}, {ALIAS.thumbprint} and
    {ALIAS.certificate} are filled in.
    """

    name: str
    exit_code: int
    code: str = ""
    cause: str = ""
    remedy: str = ""
    paid: int = 0
    signed: int = 0
    untouched: int = 1
    command: str = "run"
    alias: str | None = "Contoso-Release"
    programs: tuple[str, ...] = ("app.exe",)
    patterns: tuple[str, ...] = ("in",)
    urls: tuple[str, ...] = ("{tsa}",)
    more: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Stage], None] = lambda _: None
    meanwhile: Callable[[Stage], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Row:
    """What a run came to, as the table has it; texts are free of what changes from run to run."""

    fault: str
    exit_code: int
    code: str
    cause: str
    remedy: str
    paid: int
    signed: int
    untouched: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A row, and what must never be: a miscounted signature, a file neither signed nor as it was, a copy left."""

    row: Row
    counted: int
    lost: tuple[str, ...]
    left_over: tuple[str, ...]
    output: str


class Bench:
    """One Windows for all faults, made clean before each."""

    def __init__(self, windows: Windows, url: str) -> None:
        self._windows = windows
        self._url = url
        self._temp = windows.root / "temp"
        self._temp.mkdir()
        self._words = {"tsa": url, "nobody": NOBODY, "root": windows.path(windows.trust_root)}
        for alias in ALIASES:
            key = windows.key(alias)
            self._words[f"{alias}.thumbprint"] = key.thumbprint
            self._words[f"{alias}.certificate"] = windows.path(key.certificate)

    def see(self, fault: Fault) -> Seen:
        """Inject, run, look."""
        windows = self._windows
        self._clean()
        for name in fault.programs:
            windows.program(f"in/{name}")
        with ExitStack() as cleanup:
            stage = Stage(windows, self._url, cleanup)
            fault.prepare(stage)
            before = self._contents()
            for point, words in fault.faults.items():
                windows.fault(point, words)
            exit_code, output = self._run(fault, stage)
            after = self._contents()
        report = json.loads((windows.folder / "report.json").read_text(encoding="utf-8"))
        error = report["error"] or next((file["error"] for file in report["files"] if file["error"]), NO_ERROR)
        files = {file["path"]: file for file in report["files"]}
        good = {
            path for path in before if _is_signed(files.get(path)) and after.get(path) == files[path]["sha256_after"]
        }
        same = {path for path in before if after.get(path) == before[path]}
        row = Row(
            fault=fault.name,
            exit_code=exit_code,
            code=error["code"],
            cause=self._plain(error["message"] or (fault.cause if fault.cause in output else "")),
            remedy=self._plain(error["remedy"]),
            paid=sum(call.endswith("fault=0x0") for call in windows.calls("ksp sign")),
            signed=len(good),
            untouched=len(same & set(files or before)),
        )
        return Seen(
            row,
            counted=report["totals"]["signatures_used"],
            lost=tuple(sorted(set(before) - good - same)),
            left_over=tuple(sorted(set(after) - set(before))) + tuple(path.name for path in self._temp.iterdir()),
            output=output,
        )

    def _run(self, fault: Fault, stage: Stage) -> tuple[int, str]:
        windows = self._windows
        environment = {
            **windows.linux_environment(),
            "AGENT_TEMPDIRECTORY": windows.path(self._temp),
            "WINLAB_TSA_URL": self._url,
            **fault.environment,
        }
        with TemporaryFile() as output:
            process = subprocess.Popen(
                windows.command("python", "-m", "kspsign", *self._arguments(fault)),
                cwd=windows.folder,
                env={name: value for name, value in environment.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                fault.meanwhile(stage)
                exit_code = process.wait(TIMEOUT_SECONDS)
            finally:
                process.kill()
            output.seek(0)
            return exit_code, output.read().decode(ANSI, "replace").replace("\r\n", "\n")

    def _arguments(self, fault: Fault) -> list[str]:
        given = [fault.command, *fault.patterns, "--trust-root", "{root}", "--report", "report.json"]
        if fault.command == "run":
            given += ["--key-store", "windows", "--store", "store", "--jobs", "1"]
            given += ["--keypair-alias", fault.alias] if fault.alias else []
            given += [word for name in TOOL_ENV for word in ("--tool-env", name)]
            given += [word for url in fault.urls for word in ("--timestamp-url", url)]
        return [_filled(word, self._words) for word in (*given, *fault.more)]

    def _clean(self) -> None:
        windows = self._windows
        state = windows.root / "state"
        for path in (*windows.folder.iterdir(), *(state / "faults").iterdir(), *state.glob("calls*.log")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        windows.run("cert", "clear", "user", "MY")

    def _contents(self) -> dict[str, str]:
        """The SHA-256 of every file below in/, by its path; links are not followed."""
        folder = self._windows.folder
        found = [path for path in (folder / "in").rglob("*") if path.is_file() and not path.is_symlink()]
        return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def _plain(self, text: str) -> str:
        """Without what changes from run to run."""
        text = " ".join(text.replace(self._windows.path(self._windows.root), "FOLDER").split())
        for pattern, word in _VOLATILE:
            text = pattern.sub(word, text)
        return text


def _is_signed(file: Mapping[str, Any] | None) -> bool:
    return file is not None and file["outcome"] == "signed" and file["verdict"]["result"] == "verified"


def _filled(word: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(f"{{{name}}}", value)
    return word
