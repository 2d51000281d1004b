"""A program that is asked in JSON lines: one object a line on its standard input, one a line on its standard output.

Requests carry an `id`, and an answer names the request that it is for, so that several may be in flight. The first
fault ends the program: after it nothing that it writes can be trusted to belong to anything.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import IO, Any

from kspsign.model.errors import CancelledError
from kspsign.programs.run import as_text, stop_tree

LONGEST_LINE = 1 << 20
_WAIT_SECONDS = 0.1
"""Longest single wait, so that a cancelled run need not wait for an answer."""
_ENDING_SECONDS = 1.0
"""How long the end of a program, and of what it says, is waited for once its standard output has ended."""
_KEPT_LINES = 20
_QUOTED = 200


class FaultKind(Enum):
    """What a program did instead of answering."""

    NOT_STARTED = "not started"
    NO_ANSWER = "no answer"
    NOT_JSON = "not JSON"
    WRONG_ID = "wrong id"
    ENDED = "ended"
    STOPPED = "stopped"


class DialogueError(Exception):
    """The program did not answer; `sent` says whether it may have read the request."""

    def __init__(self, kind: FaultKind, text: str, *, sent: bool = True) -> None:
        super().__init__(text)
        self.kind, self.text, self.sent = kind, text, sent


@dataclass(slots=True)
class _Asked:
    """A request without answer so far."""

    answers: queue.SimpleQueue[dict[str, Any] | DialogueError] = field(default_factory=queue.SimpleQueue)
    sent: bool = False


class JsonLineProgram:
    """A running program; `ask` may be called by many threads.

    `environment` is all that it gets of variables. An answer is waited for `seconds`. Lines of its standard error go
    to `hear`, and whatever is quoted of the program went through `mask` before.
    Raises DialogueError when it can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        seconds: float,
        mask: Callable[[str], str],
        hear: Callable[[str], object],
    ) -> None:
        self._environment, self._seconds, self._mask, self._hear = dict(environment), seconds, mask, hear
        self._numbers, self._asked = itertools.count(1), dict[int, _Asked]()
        self._lock, self._closing = threading.Lock(), False
        self._fault: DialogueError | None = None
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._outgoing: queue.SimpleQueue[tuple[_Asked, bytes] | None] = queue.SimpleQueue()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a list without shell, the program is the one that was named
                list(command),
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=sys.platform != "win32",  # Ctrl-C is ours; what is paid for is waited for
            )
        except OSError as refused:
            raise DialogueError(
                FaultKind.NOT_STARTED, f"it can't be started: {refused.strerror or refused}", sent=False
            ) from refused
        self._errors = self._thread(self._read_errors)
        self._thread(self._write)
        self._thread(self._read)

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked."""
        return self._fault is None and not self._closing

    def ask(self, request: Mapping[str, Any], cancelled: threading.Event | None = None) -> dict[str, Any]:
        """The answer to `request`, which gets an id. Raises DialogueError, CancelledError when `cancelled` is set
        first."""
        asked, deadline = _Asked(), time.monotonic() + self._seconds
        with self._lock:
            if self._fault is not None:
                raise DialogueError(self._fault.kind, self._fault.text, sent=False)
            number = next(self._numbers)
            self._asked[number] = asked
            self._outgoing.put((asked, json.dumps({"id": number, **request}, separators=(",", ":")).encode() + b"\n"))
        while True:
            left = deadline - time.monotonic()
            try:
                answer = asked.answers.get(timeout=max(min(left, _WAIT_SECONDS), 0))
            except queue.Empty:
                if cancelled is not None and cancelled.is_set():
                    raise CancelledError from None
                if left <= 0:
                    said = f"it did not answer within {self._seconds:g} s"
                    self._break(DialogueError(FaultKind.NO_ANSWER, said), number)
                continue
            if isinstance(answer, DialogueError):
                raise answer
            return answer

    def close(self, grace: float) -> int | None:
        """End its standard input and wait `grace` seconds for it to end: its exit code, None when it was stopped."""
        with self._lock:
            self._closing = True
        self._outgoing.put(None)
        try:
            return self._process.wait(grace)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._stop()
            self._errors.join(_ENDING_SECONDS)

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="json lines", daemon=True)
        thread.start()
        return thread

    def _write(self) -> None:
        stdin = _opened(self._process.stdin)
        with contextlib.suppress(OSError), stdin:  # a program that reads no more ends, which is said where it is seen
            while (item := self._outgoing.get()) is not None:
                asked, line = item
                asked.sent = True
                stdin.write(line)
                stdin.flush()

    def _read(self) -> None:
        with _opened(self._process.stdout) as stdout:
            while line := stdout.readline(LONGEST_LINE):
                fault = self._accept(line)
                if fault is not None:
                    self._break(fault)
                    return
        self._break(DialogueError(FaultKind.ENDED, self._ending()))

    def _accept(self, line: bytes) -> DialogueError | None:
        """Hand the answer to whoever waits for it; what is wrong with it where there is no one."""
        if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
            return DialogueError(FaultKind.NOT_JSON, f"it wrote a line of more than {LONGEST_LINE} bytes")
        try:
            answer = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return DialogueError(FaultKind.NOT_JSON, f"it wrote a line that is not JSON: {self._quoted(line)}")
        number = answer.get("id") if isinstance(answer, dict) else None
        with self._lock:
            asked = self._asked.pop(number, None) if type(number) is int else None
        if asked is None:
            what = "has no id" if number is None else f"has the id {self._mask(str(number))[:_QUOTED]!r}"
            return DialogueError(FaultKind.WRONG_ID, f"its answer {what}, which no open request has")
        asked.answers.put(answer)
        return None

    def _read_errors(self) -> None:
        with _opened(self._process.stderr) as stderr:
            while line := stderr.readline(LONGEST_LINE):
                text = self._mask(as_text(line).rstrip())
                self._said.append(text)
                self._hear(text)

    def _ending(self) -> str:
        try:
            code = self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            how = "it closed its standard output"
        else:
            how = f"it ended with exit code {code}" if code >= 0 else f"it was ended by signal {-code}"
        self._errors.join(_ENDING_SECONDS)
        last = next((line for line in reversed(self._said) if line.strip()), None)
        return how if last is None else f"{how}; it said: {last[:_QUOTED]}"

    def _break(self, fault: DialogueError, number: int | None = None) -> None:
        """Nothing more is expected of the program. `number` is the request that the fault is about; others learn that
        they get no answer because of it."""
        with self._lock:
            if self._fault is None and not (self._closing and not self._asked):
                self._fault = fault
            open_requests, self._asked = self._asked, {}
        for own, asked in open_requests.items():
            text = fault.text if number in {None, own} else f"it was stopped, since of another request {fault.text}"
            kind = fault.kind if number in {None, own} else FaultKind.STOPPED
            asked.answers.put(DialogueError(kind, text, sent=asked.sent))
        self._outgoing.put(None)
        self._stop()

    def _stop(self) -> None:
        if self._process.poll() is None:
            stop_tree(self._process, self._environment, leads_group=True)

    def _quoted(self, line: bytes) -> str:
        text = self._mask(as_text(line).strip())
        return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}...")


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError  # all three were asked for
    return stream
