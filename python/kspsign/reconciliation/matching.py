"""Matches the uses in a key's log with the signatures in ledgers, each with one at most.

A digest outweighs an id, and both outweigh the time: a use whose digest no ledger has belongs to no build, whenever it
was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import Final, NamedTuple

from kspsign.reconciliation.key_logs.record import LogRecord
from kspsign.reconciliation.ledgers import Ledgers
from kspsign.reconciliation.tables import MATCHES, NOTHING, REASONS, Index, LogKey, Numbered, Uses, hashed, narrowed

DIGEST: Final = MATCHES.index("digest")
REQUEST: Final = MATCHES.index("request-id")
WINDOW: Final = MATCHES.index("time-window")
UNKNOWN: Final = REASONS.index("unknown")
AGAIN: Final = REASONS.index("again")
OTHER_DIGEST: Final = REASONS.index("other-digest")
REFUSED_LEDGER: Final = REASONS.index("refused-ledger")
REPEATED: Final = REASONS.index("repeated")
_SHOWN: Final = 100
"""Characters of a request's id that are kept to be shown: callers choose some of them."""


class Traits(NamedTuple):
    """Whether a use in the log has a digest, and an id of its request."""

    digest: bool
    request: bool


class Matcher:
    """Takes in the uses of logs, then `finish` matches by time what nothing else matched.

    `skew` are the seconds by which clocks may differ.
    """

    def __init__(self, ledgers: Ledgers, skew: float) -> None:
        self.uses = Uses()
        self.keys: Numbered[LogKey] = Numbered()
        self.callers: Numbered[str] = Numbered()
        self.addresses: Numbered[str] = Numbered()
        self._ledgers = ledgers
        self._table = ledgers.signatures
        self._skew = skew
        self._digests = Index(self._table.digests)
        self._requests = Index(self._table.requests)
        self._deferred: dict[bytes, list[int]] = {}
        self._known_keys: set[tuple[int, int]] = set()
        """Keys of ledgers and of logs that belong together, by what was matched for sure."""

    def add(self, log: int, log_format: str, place: int, record: LogRecord) -> None:
        """Take in a use of the log with the number `log`."""
        uses, digest = self.uses, narrowed(record.digest)
        request = hashed(record.request_id)
        number = len(uses)
        uses.times.append(record.time)
        uses.keys.append(self.keys.number(LogKey(log_format, record.scope, record.key)))
        uses.callers.append(self.callers.number(record.caller))
        uses.addresses.append(self.addresses.number(record.address))
        uses.logs.append(log)
        uses.places.append(place)
        uses.row.append(-1)
        uses.match.append(0)
        uses.reason.append(UNKNOWN)
        uses.events.append(_identity(record))
        uses.digests.append(digest)
        uses.request_ids.append(request)
        uses.requests.append(record.request_id[:_SHOWN])
        if digest != NOTHING:
            self._by_digest(number, digest, request)
        elif request != NOTHING:
            self._by_request(number, request)

    def finish(self) -> None:
        """Match the rest: uses of one digest among the signatures of it, then by time."""
        self._drop_repeated()
        for digest, numbers in self._deferred.items():
            self._pair_by_digest(digest, [number for number in numbers if self.uses.reason[number] != REPEATED])
        self._by_time()

    def offset(self, number: int) -> float:
        """The clock of the log less that of the ledger for a matched use, in seconds; 0 within the request."""
        row, time = self.uses.row[number], self.uses.times[number]
        asked, answered = self._table.asked[row], self._table.answered[row]
        return time - min(max(time, asked), answered)

    def belongs(self, ledger_key: int, log_key: int) -> bool:
        """Whether the ledgers' key is the log's: something of both was matched for sure, or they share a name."""
        if (ledger_key, log_key) in self._known_keys:
            return True
        name, names = self.keys[log_key].name.lower(), self._ledgers.keys[ledger_key].names
        return not name or not names.isdisjoint(key_parts(name))

    def traits(self, number: int) -> Traits:
        """What a use can be matched by, besides its time."""
        return Traits(self.uses.digests[number] != NOTHING, self.uses.request_ids[number] != NOTHING)

    def time_decides(self, traits: Traits, row: int) -> bool:
        """Whether neither digest nor id is in both, so that the time alone can match a use with the signature."""
        has_digest, has_request = self._table.digests[row] != NOTHING, self._table.requests[row] != NOTHING
        return not (traits.digest and has_digest) and not (traits.request and has_request)

    def _by_digest(self, number: int, digest: bytes, request: bytes) -> None:
        rows = [row for row in self._digests.find(digest) if self._table.accepted[row] == 1]
        if not rows:
            self._not_by_digest(number, digest, request)
        elif len(rows) == 1 and self._table.is_free(rows[0]):
            self._match(number, rows[0], DIGEST)
        else:
            same = next((row for row in self._requests.find(request) if row in rows and self._table.is_free(row)), None)
            if same is not None:
                self._match(number, same, DIGEST)
            else:
                self._deferred.setdefault(digest, []).append(number)

    def _not_by_digest(self, number: int, digest: bytes, request: bytes) -> None:
        """The digest is in no ledger that counts: where the id is, either is forged, or a tool took the digest."""
        refused = next(self._digests.find(digest), None)
        named = next((row for row in self._requests.find(request) if self._table.accepted[row] == 1), None)
        if named is not None and self._table.digests[named] == NOTHING and self._table.is_free(named):
            self._match(number, named, REQUEST)
        elif named is not None and self._table.digests[named] != NOTHING:
            self._refuse(number, OTHER_DIGEST, named)
        elif refused is not None:
            self._refuse(number, REFUSED_LEDGER, refused)

    def _by_request(self, number: int, request: bytes) -> None:
        rows = [*self._requests.find(request)]
        free = next((row for row in rows if self._table.is_free(row)), None)
        if free is not None:
            self._match(number, free, REQUEST)
        elif rows:
            counts = next((row for row in rows if self._table.accepted[row] == 1), None)
            self._refuse(number, REFUSED_LEDGER if counts is None else AGAIN, rows[0] if counts is None else counts)

    def _pair_by_digest(self, digest: bytes, numbers: list[int]) -> None:
        """Signatures of one digest with its uses, in the order of time; what is left over was made once more."""
        free = [row for row in self._digests.find(digest) if self._table.is_free(row)]
        free.sort(key=self._table.asked.__getitem__)
        numbers.sort(key=self.uses.times.__getitem__)
        if len(numbers) <= len(free):
            pairs = [*zip(numbers, _nearest(numbers, self.uses.times, free, self._table.asked), strict=True)]
        else:
            chosen = _nearest(free, self._table.asked, numbers, self.uses.times)
            pairs = [*zip(chosen, free, strict=True)]
        for number, row in pairs:
            self._match(number, row, DIGEST)
        known = next((row for row in self._digests.find(digest) if self._table.accepted[row] == 1), -1)
        for number in numbers:
            if not self.uses.match[number]:
                self._refuse(number, AGAIN, known)

    def _drop_repeated(self) -> None:
        """A record that was exported twice is one use: overlapping exports have both."""
        for numbers in Index(self.uses.events).repeated():
            matched = [number for number in numbers if self.uses.match[number]]
            first = matched[0] if matched else numbers[0]
            for number in numbers:
                if number != first and not self.uses.match[number]:
                    self._refuse(number, REPEATED, -1)

    def _by_time(self) -> None:
        """As many uses of a key as signatures within the clock skew, where neither digest nor id is in both."""
        by_key: dict[tuple[int, Traits], list[int]] = {}
        for number in self._without_match():
            by_key.setdefault((self.uses.keys[number], self.traits(number)), []).append(number)
        if not by_key:
            return
        free = self._free_by_key()
        for (log_key, traits), numbers in by_key.items():
            known = (rows for key, rows in free.items() if self.belongs(key, log_key))
            rows = (
                row
                for row in merge(*known, key=self._table.asked.__getitem__)
                if self._table.is_free(row) and self.time_decides(traits, row)
            )
            self._pair_by_time(sorted(numbers, key=self.uses.times.__getitem__), rows)

    def _free_by_key(self) -> dict[int, list[int]]:
        """The signatures that nothing is matched with, in the order of time, by the number of their key."""
        free: dict[int, list[int]] = {}
        for row in range(len(self._table)):
            if self._table.is_free(row):
                free.setdefault(self._ledgers.signer(row).key, []).append(row)
        for rows in free.values():
            rows.sort(key=self._table.asked.__getitem__)
        return free

    def _pair_by_time(self, numbers: Sequence[int], rows: Iterator[int]) -> None:
        """Both in the order of time: each signature with the first use that is not too early for it."""
        at = 0
        for row in rows:
            earliest, latest = self._table.asked[row] - self._skew, self._table.answered[row] + self._skew
            while at < len(numbers) and self.uses.times[numbers[at]] < earliest:
                at += 1
            if at < len(numbers) and self.uses.times[numbers[at]] <= latest:
                self._match(numbers[at], row, WINDOW)
                at += 1

    def _without_match(self) -> Iterator[int]:
        for number, reason in enumerate(self.uses.reason):
            if reason == UNKNOWN and not self.uses.match[number]:
                yield number

    def _match(self, number: int, row: int, match: int) -> None:
        self.uses.row[number], self.uses.match[number], self.uses.reason[number] = row, match, 0
        self._table.matched[row] = number
        if match != WINDOW:
            self._known_keys.add((self._ledgers.signer(row).key, self.uses.keys[number]))

    def _refuse(self, number: int, reason: int, row: int) -> None:
        self.uses.reason[number], self.uses.row[number] = reason, row


def _identity(record: LogRecord) -> bytes:
    """What a second export of the record has, too: two records of one event that differ in anything are two uses, since
    callers choose some of the ids."""
    if not record.event:
        return NOTHING
    return hashed(repr(record))


def key_parts(name: str) -> frozenset[str]:
    """What a key may be called by: its whole name, and each part of its address."""
    return frozenset({name, *name.replace(":", "/").split("/")} - {""})


def _nearest(
    few: Sequence[int], few_times: Sequence[float], many: Sequence[int], many_times: Sequence[float]
) -> list[int]:
    """Of `many` one for each of `few`, both in the order of time: the nearest that leaves enough for the others."""
    times = [many_times[number] for number in many]
    chosen, start = [], 0
    for left, number in enumerate(few):
        end = len(many) - (len(few) - left - 1)
        at = bisect_left(times, few_times[number], start, end)
        if at == end or (at > start and few_times[number] - times[at - 1] <= times[at] - few_times[number]):
            at = max(at - 1, start)
        chosen.append(many[at])
        start = at + 1
    return chosen
