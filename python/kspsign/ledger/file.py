"""A ledger's file: lines are only ever appended, by any number of jobs at the same time.

The file is locked while a line is written, so that each line follows the one that is really the last. One write makes
a line: a writer that is killed leaves all of it or nothing. What a full disk cut off stays and is ended by the next
line, as evidence.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from kspsign.concurrency.file_lock import try_lock
from kspsign.ledger.chain import MAX_LINE, ChainReader, LedgerAnchor, chained, digest_of, parse_line
from kspsign.ledger.entries import Entry
from kspsign.ledger.history import LedgerHistory
from kspsign.model.errors import PrerequisiteError

LOCK_SECONDS: Final = 20.0
"""How long a job waits for the others; each holds the file for a fraction of a millisecond."""
_LOOK_SECONDS: Final = 0.002
_ON_LOCAL_DISK: Final = "Name a file on a local disk that this user may write with --ledger."


class LedgerFile:
    """The ledger at `path`; safe to share between threads and processes.

    `anchor` is the last line written here. A `history` is fed every entry, those of others too.
    """

    def __init__(self, path: Path, history: LedgerHistory | None = None) -> None:
        self.path = path
        self.anchor = LedgerAnchor()
        self.history = history
        self._size, self._read_up_to = -1, LedgerAnchor()
        self._lock = threading.Lock()

    def append(self, entry: Entry, admit: Callable[[], None] | None = None) -> None:
        """Write `entry` as the last line, unless `admit`, which sees the history up to it, raises.

        Raises PrerequisiteError when the file can't be written, or is damaged.
        """
        with self._lock, self._opened() as file:
            last, torn = self._last(file) if self.history is None else self._read_on(file, self.history)
            if admit is not None:
                admit()
            line, anchor = chained(last, entry)
            line = b"\n" * torn + line
            try:
                written = file.write(line)
            except OSError as refused:
                raise self._unusable(refused.strerror or str(refused)) from refused
            if written != len(line):
                raise self._unusable("the disk is full")
            self.anchor = self._read_up_to = anchor
            self._size = file.tell()
            if self.history is not None:
                self.history.feed(entry)

    def sync(self) -> None:
        """Bring what was written to the disk; never raises."""
        with contextlib.suppress(OSError), self.path.open("r+b", buffering=0) as file:
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The file, which is created if need be, locked."""
        try:
            if self._size < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+b", buffering=0)
        except OSError as refused:
            raise self._unusable(refused.strerror or str(refused)) from refused
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise self._unusable("it is not a regular file: what is written there is not kept")
            deadline = time.monotonic() + LOCK_SECONDS
            while (held := try_lock(file)) is False:
                if time.monotonic() > deadline:
                    raise self._unusable("another process has it locked")
                time.sleep(_LOOK_SECONDS)
            if held is None:
                raise self._unusable("its file system knows no locks")
            yield file

    def _last(self, file: IO[bytes]) -> tuple[LedgerAnchor, bool]:
        """The anchor to continue from, and whether the last line was cut off."""
        size = file.seek(0, os.SEEK_END)
        if size == self._size:
            return self._read_up_to, False
        if not size:
            return LedgerAnchor(), False
        start = max(0, size - 2 * MAX_LINE)
        file.seek(start)
        tail = file.read(size - start)
        *lines, rest = tail.split(b"\n")
        for skipped, text in enumerate(reversed([*lines, rest] if rest else lines)):
            line = parse_line(text)
            if line is not None:
                after = LedgerAnchor(line.number + skipped, digest_of(([*lines, rest] if rest else lines)[-1]))
                return after, bool(rest)
        raise self._damaged("its last lines can't be read")

    def _read_on(self, file: IO[bytes], history: LedgerHistory) -> tuple[LedgerAnchor, bool]:
        """As `_last`; what others wrote since is fed to `history`.

        A break in the chain is refused, as it can't be counted by; a line that a full disk cut off is not one.
        """
        size = file.seek(0, os.SEEK_END)
        if size == self._size:
            return self._read_up_to, False
        start = max(self._size, 0)
        if size < start:
            raise self._damaged("it became shorter while this run wrote it")
        file.seek(start)
        content = file.read(size - start)
        reader, known = ChainReader(io.BytesIO(content), after=self._read_up_to), self._read_up_to.number
        for line in reader.lines():
            history.feed(line.entry)
            known = line.number
        broken = next((fault for fault in reader.faults if fault.kind != "torn"), None)
        if broken is not None or (content and not known):
            raise self._damaged(f"near line {broken.line}: {broken.message}" if broken else "it has no line of one")
        torn = bool(content) and not content.endswith(b"\n")
        if not torn:
            self._size, self._read_up_to = size, reader.anchor
        return reader.anchor, torn

    def _damaged(self, why: str) -> PrerequisiteError:
        return PrerequisiteError(
            f"the ledger is damaged, or is not a ledger: {why}",
            code="LEDGER_DAMAGED",
            remedy="Find out who changed the file and keep it as evidence; name a new file with --ledger.",
            file=str(self.path),
        )

    def _unusable(self, why: str) -> PrerequisiteError:
        return PrerequisiteError(
            f"the ledger can't be written: {why}", code="LEDGER_UNUSABLE", remedy=_ON_LOCAL_DISK, file=str(self.path)
        )
