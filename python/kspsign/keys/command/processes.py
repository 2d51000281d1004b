"""The processes of one program: one or several, each asked for its certificate first, a dead one replaced."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kspsign.keys.command.command_line import CommandLine
from kspsign.keys.command.errors import broken, refused, unusable
from kspsign.keys.command.messages import ChainAnswer, UnusableMessageError, chain_request, read_answer
from kspsign.model.errors import CancelledError, PrerequisiteError
from kspsign.network.retry import pause_before
from kspsign.programs.json_lines import DialogueError, JsonLineProgram

END_SECONDS: Final = 5.0
"""How long a program may take to end once its standard input has ended."""
CANCELLED_SECONDS: Final = 0.2
"""Likewise where the run was cancelled."""
_CHAIN_ATTEMPTS, _FIRST_PAUSE = 5, 0.5
CHAIN: Final = "its certificate (chain)"


@dataclass(slots=True)
class _Slot:
    """A place for one process; `busy` counts the requests that it is asked at the moment."""

    process: JsonLineProgram | None = None
    busy: int = 0
    starting: threading.Lock = field(default_factory=threading.Lock)


class CommandProcesses:
    """Up to `count` processes of one program; safe to share between threads."""

    def __init__(
        self,
        line: CommandLine,
        *,
        alias: str | None,
        count: int,
        seconds: float,
        hear: Callable[[str], object],
        cancelled: threading.Event,
    ) -> None:
        self.line = line
        self._alias, self._seconds, self._hear, self._cancelled = alias, seconds, hear, cancelled
        self._slots = [_Slot() for _ in range(count)]
        self._lock, self._closed = threading.Lock(), False

    def chain(self) -> ChainAnswer:
        """What a process says of its certificate now. Raises PrerequisiteError, CancelledError."""
        heard: list[ChainAnswer] = []
        with self._taken() as slot:
            process = self._running(slot, heard.append)
            return heard[0] if heard else self._chain_of(process)

    def ask(self, request: Mapping[str, Any], admit: Callable[[ChainAnswer], object]) -> dict[str, Any]:
        """The answer of the process with the least to do; `admit` judges what a new one says of its certificate.

        Raises DialogueError, what `admit` raises, PrerequisiteError where a new process is of no use, CancelledError.
        """
        with self._taken() as slot:
            return self._running(slot, admit).ask(request)  # not cut short: it may be paid for

    def close(self) -> None:
        """End all processes; calling it again does nothing."""
        grace = CANCELLED_SECONDS if self._cancelled.is_set() else END_SECONDS
        with self._lock:
            self._closed = True
            running = [slot.process for slot in self._slots if slot.process is not None]
            self._slots = [_Slot() for _ in self._slots]
        ending = [threading.Thread(target=process.close, args=(grace,), daemon=True) for process in running]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()

    @contextlib.contextmanager
    def _taken(self) -> Iterator[_Slot]:
        with self._lock:
            if self._closed:
                raise CancelledError
            slot = min(self._slots, key=lambda slot: slot.busy)
            slot.busy += 1
        try:
            yield slot
        finally:
            with self._lock:
                slot.busy -= 1

    def _running(self, slot: _Slot, admit: Callable[[ChainAnswer], object]) -> JsonLineProgram:
        """The process in the slot, or a new one that `admit` admits. Raises as `ask` does."""
        with slot.starting:
            if slot.process is not None and slot.process.is_usable:
                return slot.process
            process = self._start()
            with contextlib.ExitStack() as undone:
                undone.callback(process.close, 0)
                admit(self._chain_of(process))
                undone.pop_all()
            slot.process = process
            return process

    def _start(self) -> JsonLineProgram:
        try:
            return JsonLineProgram(
                self.line.words, self.line.environment, seconds=self._seconds, mask=self.line.mask, hear=self._hear
            )
        except DialogueError as fault:
            raise broken(fault, CHAIN, PrerequisiteError) from fault

    def _chain_of(self, process: JsonLineProgram) -> ChainAnswer:
        """Raises PrerequisiteError, CancelledError."""
        for attempt in range(1, _CHAIN_ATTEMPTS + 1):
            try:
                said = read_answer(process.ask(chain_request(self._alias), self._cancelled), ChainAnswer)
            except DialogueError as fault:
                raise broken(fault, CHAIN, PrerequisiteError) from fault
            except UnusableMessageError as wrong:
                raise unusable(self.line.mask(str(wrong)), CHAIN) from wrong
            if isinstance(said, ChainAnswer):
                return said
            pause = pause_before(attempt, _FIRST_PAUSE, said.retry_after) if said.kind == "busy" else None
            if pause is None or attempt == _CHAIN_ATTEMPTS:
                raise refused(said, self.line.mask(said.message), CHAIN, PrerequisiteError)
            if self._cancelled.wait(pause):
                raise CancelledError
        raise AssertionError  # the last attempt returns or raises
