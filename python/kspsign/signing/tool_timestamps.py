"""Adds timestamps by SignTool after signing: they cost nothing and can be retried.

A call that ends without a word on a file may have torn it: the file then gets its signatures again in a fresh copy, and
the next try stamps that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from kspsign.model.errors import ArtifactError
from kspsign.network.limiter import Limiter
from kspsign.programs.locate import Tool
from kspsign.programs.run import Ran
from kspsign.programs.signtool_output import SignToolWords
from kspsign.signing.tool_calls import Caller, stamp
from kspsign.signing.tool_errors import ToolRefusal, stamp_error
from kspsign.signing.tool_staging import restore
from kspsign.signing.tool_state import Request, read_state

STAMP_ROUNDS = 3


class ToolTimestamps:
    """Stamps by `tool` with the first of `urls` that is `believed()` and answers; `heard` reads what a call printed."""

    def __init__(
        self,
        caller: Caller,
        tool: Tool,
        urls: Sequence[str],
        believed: Callable[[], Sequence[str]],
        heard: Callable[[Ran], SignToolWords],
    ) -> None:
        self._caller, self._tool, self._believed, self._heard = caller, tool, believed, heard
        limits = {url: caller.settings.timestamp_limits.of(url) for url in urls}
        self._spaced = {
            url: Limiter(limit.jobs, caller.cancelled, limit.spacing) for url, limit in limits.items() if limit.spacing
        }

    def stamp_all(self, requests: Sequence[Request]) -> None:
        """Each server in turn, several rounds, only for what has no timestamp yet."""
        waiting = [request for request in requests if not self._is_stamped(request)]
        for attempt in range(STAMP_ROUNDS):
            for url in self._believed():
                for index in sorted({self._index(request) for request in waiting}):
                    self._stamp_group([request for request in waiting if self._index(request) == index], url, index)
                waiting = [request for request in waiting if not self._is_stamped(request)]
                if not waiting:
                    return
            if attempt < STAMP_ROUNDS - 1:
                self._caller.pause(attempt)
        for request in waiting:
            request.refusal = ToolRefusal(stamp_error("; ".join(dict.fromkeys(request.said))), transient=False)

    def _stamp_group(self, group: Sequence[Request], url: str, index: int) -> None:
        """All in one call, whose requests follow one another at once; alone where the server wants time between."""
        limiter = self._spaced.get(url)
        if limiter is None:
            self._stamp(group, url, index)
            return
        for request in group:
            with limiter.slot():
                self._stamp([request], url, index)

    def _stamp(self, group: Sequence[Request], url: str, index: int) -> None:
        ran = stamp(self._caller, self._tool, [request.name for request in group], url, index)
        words = self._heard(ran)
        late = "it did not answer in time" if ran.exit_code is None else ""
        for request in group:
            own = words.by_file.get(request.name)
            request.said.append(f"{url}: {own or late or words.general or 'no answer'}")
            if ran.exit_code != 0 and not own and request.name not in words.done:
                # Where this fails the file has no timestamp, which is then said of it.
                with contextlib.suppress(ArtifactError, OSError):
                    restore(self._caller.bench, request)

    def _index(self, request: Request) -> int:
        """SignTool's index of our new signature: the last one when it was appended."""
        return len(request.before.signatures) if self._caller.settings.append else 0

    def _is_stamped(self, request: Request) -> bool:
        states = read_state(self._caller.bench.folder / request.name, request.artifact).signatures
        index = self._index(request)
        return index < len(states) and states[index].stamped
