"""One trace line per remote call for listeners (--verbose, System.Debug); never a secret.

The listener is a context variable: what opens connections remembers who listened then, also for calls from threads.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from urllib.parse import parse_qsl, urlsplit

Listener = Callable[[str], object]

_listener: ContextVar[Listener | None] = ContextVar("kspsign_network_listener", default=None)
_attempt: ContextVar[int] = ContextVar("kspsign_network_attempt", default=1)
_REQUEST_IDS = ("x-ms-request-id", "x-request-id", "request-id", "x-amzn-requestid", "x-vss-e2eid", "x-correlation-id")
_OWN_IDS = ("x-correlation-id", "x-goog-request-reason")
_LONGEST_ID = 100


@contextlib.contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Within the block, new connections report every call to `listener`, from any thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextlib.contextmanager
def numbered(attempt: int) -> Iterator[None]:
    """Calls within the block, made by a package of others, are this attempt (from 1)."""
    token = _attempt.set(attempt)
    try:
        yield
    finally:
        _attempt.reset(token)


class Trace:
    """Tells the listener of the moment it was made; without one it does nothing."""

    def __init__(self) -> None:
        self._listener = _listener.get()

    @contextlib.contextmanager
    def call(
        self, method: str, url: str, attempt: int | None = None, sent: Mapping[str, str] | None = None
    ) -> Iterator[Callable[[int, Mapping[str, str]], None]]:
        """One call with the headers `sent`; what is yielded is given status and headers once they are there.

        Without `attempt` it is the one of the `numbered` block around.
        """
        attempt, ours = attempt or _attempt.get(), _found_id(sent or {}, _OWN_IDS)
        answered: list[tuple[int, Mapping[str, str]]] = []
        started = time.monotonic()
        try:
            yield lambda status, headers: answered.append((status, headers))
        except Exception as broken:
            self._tell(method, url, f"no answer ({type(broken).__name__})", started, attempt, ours)
            raise
        else:
            status, headers = answered[-1] if answered else (0, {})
            theirs = _found_id(headers, _REQUEST_IDS)
            self._tell(method, url, str(status), started, attempt, ours + (theirs if theirs != ours else ""))

    def note(self, text: str) -> None:
        """One line about what came of a call, such as its id where no header has it."""
        if self._listener is not None:
            self._listener(f"network: {text}")

    def _tell(self, method: str, url: str, outcome: str, started: float, attempt: int, ids: str) -> None:
        if self._listener is not None:
            milliseconds = round((time.monotonic() - started) * 1000)
            self._listener(f"network: {method} {_place(url)} -> {outcome} in {milliseconds} ms, attempt {attempt}{ids}")


def _place(url: str) -> str:
    """Host, port and path, and the names of the query's fields without their values."""
    parts = urlsplit(url)
    names = "&".join(dict.fromkeys(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)))
    return f"{parts.netloc.rpartition('@')[2]}{parts.path or '/'}" + (f"?{names}" if names else "")


def _found_id(headers: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of these headers that is there, for people; a service's support asks for it."""
    found = {name.lower(): value for name, value in headers.items()}
    for name in names:
        value = found.get(name, "")
        if value and value.isascii() and value.isprintable():
            return f", {name} {value[:_LONGEST_ID]}"
    return ""
