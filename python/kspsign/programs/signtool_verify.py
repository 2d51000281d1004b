"""`signtool verify /pa /v /all /tw`: the verdict of Windows' own verifier, parsed from its output."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kspsign.concurrency.batcher import Batcher, BatchShare
from kspsign.programs.locate import Tool, find_signtool
from kspsign.programs.run import Ran, call_tool
from kspsign.programs.signtool_output import read_words
from kspsign.programs.staging import StagingFolder
from kspsign.settings.model import Settings

BATCH, _LEAST = 32, 8
_SECONDS, _SECONDS_PER_FILE = 120.0, 20.0
_PATIENCE = 0.25
"""Starting SignTool takes longer than its work on a small file: a call waits for further files for this share of what
the last one took."""
_MORE_CALLS = 2
"""For a file on which SignTool died without a verdict: that says nothing of the file."""
_HASH = re.compile(r"^Hash of file \((\w+)\): ([0-9A-F]+)$", re.MULTILINE)
_STAMPED = re.compile(r"^The signature is timestamped: (.+)$", re.MULTILINE)
_SECTION = re.compile(r"^Verifying: (.+)$", re.MULTILINE)
_ISSUED = re.compile(r"^\s+Issued to: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SignToolVerdict:
    """SignTool's verdict on one file. `hashes` are "sha256 HEX", `chains` leaf last, one entry per signature.

    `ok` follows the exit code: 0 without warnings. `said` is the error or warning, "" when there is none.
    """

    ok: bool
    hashes: tuple[str, ...]
    chains: tuple[str, ...]
    timestamps: tuple[str, ...]
    said: str


class SignToolVerifier:
    """Asks SignTool, many files per process; `verify` is called from several threads at once, for at most `concurrency`
    files at a time to be worth it."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self.tool: Tool = find_signtool(settings)
        self._settings = settings
        self._cancelled = cancelled
        self._bench = StagingFolder(settings.temp_folder)
        # It is this machine's work, unlike a signature: more processes than processors only start more often.
        processes = min(settings.jobs, os.cpu_count() or 1)
        self.concurrency = BATCH * processes
        self._batcher: Batcher[str, SignToolVerdict] = Batcher(
            self._work, BatchShare(BATCH, processes, least=_LEAST), patience=_PATIENCE
        )

    def verify(self, path: Path) -> SignToolVerdict:
        """The verdict on the file at `path`. OSError passes through when it can't be read."""
        name = self._bench.borrow(path)
        try:
            return self._batcher.ask(name)
        finally:
            self._bench.remove(name)

    def close(self) -> None:
        """Wait for the calls in progress and remove the staging folder."""
        self._batcher.close()
        self._bench.close()

    def _work(self, names: Sequence[str]) -> list[SignToolVerdict | Exception]:
        """All files in one call; those without a clear success are verified again alone, to attribute errors."""
        ran = self._call(names)
        if len(names) == 1:
            return [self._verdict(names[0], ran)]
        good = read_words(ran.output, "").done if ran.exit_code in {0, 1} else frozenset()
        sections = dict(_sections(ran.output))
        return [
            _read(sections[name], "", ok=True)
            if name in good and name in sections
            else self._verdict(name, self._call([name]))
            for name in names
        ]

    def _verdict(self, name: str, ran: Ran) -> SignToolVerdict:
        """The verdict on one file from the call for it alone; another call where that ended without any."""
        for _ in range(_MORE_CALLS):
            if not _is_cut_short(ran):
                break
            ran = self._call([name])
        return read_verdict(ran)

    def _call(self, names: Sequence[str]) -> Ran:
        warn = () if self._settings.no_timestamp else ("/tw",)
        return call_tool(
            self._settings,
            self.tool.path,
            ["verify", "/pa", "/v", "/all", *warn, *names],
            with_credentials=False,
            timeout=_SECONDS + _SECONDS_PER_FILE * len(names),
            folder=self._bench.folder,
            cancelled=self._cancelled,
        )


def _is_cut_short(ran: Ran) -> bool:
    """Whether SignTool ended by itself or by another's hand with neither success nor an error: it always names one."""
    words = read_words(ran.output, ran.errors)
    return ran.exit_code not in {0, None} and not words.by_file and not words.general


def read_verdict(ran: Ran) -> SignToolVerdict:
    """The verdict from a call for one file."""
    words = read_words(ran.output, ran.errors)
    said = " ".join([*words.by_file.values(), words.general]).strip()
    if ran.exit_code != 0 and not said:
        said = "it timed out" if ran.exit_code is None else f"exit code {ran.exit_code}"
    return _read(ran.output, said, ok=ran.exit_code == 0)


def _read(output: str, said: str, *, ok: bool) -> SignToolVerdict:
    chains = []
    for part in output.split("Signing Certificate Chain:")[1:]:
        own = re.split(
            r"^(?:The signature is timestamped|File is not timestamped)", part, maxsplit=1, flags=re.MULTILINE
        )
        chains.append(" > ".join(_ISSUED.findall(own[0])))
    return SignToolVerdict(
        ok=ok,
        hashes=tuple(f"{name} {value}" for name, value in _HASH.findall(output)),
        chains=tuple(chains),
        timestamps=tuple(_STAMPED.findall(output)),
        said=said,
    )


def _sections(output: str) -> list[tuple[str, str]]:
    parts = _SECTION.split(output)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))
