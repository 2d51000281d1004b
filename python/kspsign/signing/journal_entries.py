"""The lines of the journal: what was asked for, what came of it, and what has served."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Any, Final, NamedTuple

REPORTED: Final = "reported"
"""A line with it: the requests above whose answers are lost were reported."""


class JournalKey(NamedTuple):
    """What a signature is found by: digest algorithm, and the digest in hex."""

    algorithm: str
    digest: str


class JournalEntry(NamedTuple):
    """A signature, with the service's id of the request that made it; "" and the operation that was begun for it; or
    neither while the request is on its way (`asked`). `use` is its id in the ledger, "" where that is not known."""

    signature: str
    time: int
    chain: tuple[str, ...] = ()
    operation: str = ""
    request: str | None = None
    use: str = ""

    @property
    def asked(self) -> bool:
        """Whether no answer has come."""
        return not (self.signature or self.operation)


class LostRequest(NamedTuple):
    """A request whose answer was not seen: the digest, its id in the ledger ("" where that is not known), and when it
    was sent, in seconds since 1970."""

    key: JournalKey
    use: str = ""
    time: int = 0


class JournalContents(NamedTuple):
    """What a file of the journal holds: entries that have not served, and requests whose answers were not seen."""

    entries: dict[JournalKey, JournalEntry]
    lost: list[LostRequest]


def read_contents(file: IO[bytes]) -> JournalContents:
    """The entries of `file` that have not served. A line that is cut off or none of ours is passed over."""
    found: dict[JournalKey, JournalEntry] = {}
    lost: list[LostRequest] = []
    for line in file:
        try:
            content = json.loads(line)
            if content.get(REPORTED):
                lost.clear()
                continue
            key = JournalKey(str(content["algorithm"]), bytes.fromhex(content["digest"]).hex())
            if content.get("lost"):
                lost.append(LostRequest(key, _use(content), int(content.get("time", 0))))
            elif content.get("done"):
                found.pop(key, None)
            else:
                found[key] = _entry(content)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            continue
    return JournalContents(found, lost)


def answered_entries(entries: Mapping[JournalKey, JournalEntry]) -> dict[JournalKey, JournalEntry]:
    """Without those that are still asked for."""
    return {key: entry for key, entry in entries.items() if not entry.asked}


def _entry(content: dict[str, Any]) -> JournalEntry:
    use = _use(content)
    if content.get("asked"):
        return JournalEntry("", int(content["time"]), use=use)
    operation = content.get("operation")
    if isinstance(operation, str) and operation:
        return JournalEntry("", int(content["time"]), operation=operation, use=use)
    if not content["signature"]:
        raise ValueError("no signature")
    chain = tuple(bytes.fromhex(der).hex() for der in content.get("chain", ()))
    request = content.get("request")
    if request is not None and not isinstance(request, str):
        raise TypeError("an id is a text")
    value = bytes.fromhex(content["signature"]).hex()
    return JournalEntry(value, int(content["time"]), chain, request=request, use=use)


def _use(content: Mapping[str, Any]) -> str:
    use = content.get("use")
    return use if isinstance(use, str) and re.fullmatch("[0-9a-f]{32}", use) else ""
