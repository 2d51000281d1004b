"""Signatures of ledgers and uses of keys in columns: a million of each must fit into memory.

Everything is in arrays; ids, digests and events are the first 16 bytes of a digest, which no one can
compute a second text for.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Hashable, Iterator
from typing import Final, Generic, Literal, NamedTuple, TypeVar

WIDTH: Final = 16
"""Bytes of an id, digest or event in a column."""
NOTHING: Final = bytes(WIDTH)
_T = TypeVar("_T", bound=Hashable)


def hashed(written: str) -> bytes:
    """The column value of a text; NOTHING for "". Ids that differ in case alone are one."""
    if not written:
        return NOTHING
    return hashlib.blake2b(written.lower().encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest()


def narrowed(digest: bytes | None) -> bytes:
    """The column value of a digest; NOTHING for None alone: whoever has the key may sign zeros, too."""
    if digest is None:
        return NOTHING
    return digest[:WIDTH] if any(digest[:WIDTH]) else hashed(digest.hex())


class Numbered(Generic[_T]):
    """Values by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[_T, int] = {}
        self._values: list[_T] = []

    def number(self, value: _T) -> int:
        """The number of `value`."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self._values)
            self._values.append(value)
        return found

    def __getitem__(self, number: int) -> _T:
        return self._values[number]

    def __iter__(self) -> Iterator[_T]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class LongTexts:
    """Texts by number, in one block: for those that are rarely the same."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._ends = array("Q")

    def append(self, text: str) -> None:
        """Add a text; its number is how many there were."""
        self._block += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._block))

    def __getitem__(self, number: int) -> str:
        start = self._ends[number - 1] if number else 0
        return self._block[start : self._ends[number]].decode("utf-8", "surrogatepass")


class Column:
    """Values of 16 bytes, by number."""

    def __init__(self) -> None:
        self.block = bytearray()

    def append(self, value: bytes) -> None:
        """Add a value; its number is how many there were."""
        self.block += value

    def __getitem__(self, number: int) -> bytes:
        return bytes(self.block[number * WIDTH : (number + 1) * WIDTH])

    def __len__(self) -> int:
        return len(self.block) // WIDTH


class Index:
    """Finds the numbers of a column by value: an open hash table of 4 bytes a slot, where a dict takes 120."""

    def __init__(self, column: Column) -> None:
        self._column = column
        size = 1 << max(4, (2 * len(column)).bit_length())
        self._mask = size - 1
        self._slots = array("I", bytes(4 * size))
        self._next = array("I", bytes(4 * len(column)))
        for number in range(len(column) - 1, -1, -1):
            value = column[number]
            if value != NOTHING:
                slot = self._slot(value)
                self._next[number] = self._slots[slot]
                self._slots[slot] = number + 1

    def find(self, value: bytes) -> Iterator[int]:
        """The numbers that have the value, ascending."""
        found = self._slots[self._slot(value)] if value != NOTHING else 0
        while found:
            yield found - 1
            found = self._next[found - 1]

    def repeated(self) -> Iterator[list[int]]:
        """The numbers of each value that more than one has."""
        for head in self._slots:
            if head and self._next[head - 1]:
                yield [*self.find(self._column[head - 1])]

    def _slot(self, value: bytes) -> int:
        slot = hash(value) & self._mask
        while (held := self._slots[slot]) and self._column[held - 1] != value:
            slot = (slot + 1) & self._mask
        return slot


class LedgerKey(NamedTuple):
    """A key as ledgers name it: its store, and its alias and the parts of its address in lower case."""

    store: str
    names: frozenset[str]


class LogKey(NamedTuple):
    """A key as a log names it: the log's format, the part of the service whose log it is, the key."""

    format: str
    scope: str
    name: str


class SigningRun(NamedTuple):
    """Who used a key by a ledger: a run, with its build, key (a number) and person. `clock` is the number of the run,
    whose clock is that of one machine."""

    ledger: int
    key: int
    build: str
    pipeline: str
    person: str
    clock: int


class Signatures:
    """The uses of keys in ledgers. `asked` and `answered` are seconds since 1970.

    `uses` are the ledgers' own ids of them; `outcomes` are indices of OUTCOMES; `matched` is the number of the use in
    the log, -1 for none; `accepted` is 0 for those of a ledger whose chain is broken.
    """

    def __init__(self) -> None:
        self.asked = array("d")
        self.answered = array("d")
        self.signers = array("I")
        self.outcomes = array("B")
        self.accepted = array("B")
        self.matched = array("i")
        self.uses = Column()
        self.digests = Column()
        self.requests = Column()
        self.files = LongTexts()

    def __len__(self) -> int:
        return len(self.asked)

    def is_free(self, row: int) -> bool:
        """Whether the signature counts, and no use is matched with it."""
        return self.matched[row] < 0 and self.accepted[row] == 1


class Uses:
    """The uses of keys in logs.

    `row` is the number of the signature that a use is matched with, or that its `reason` is about; -1 for none. `match`
    and `reason` are indices of MATCHES and REASONS.
    """

    def __init__(self) -> None:
        self.times = array("d")
        self.keys = array("I")
        self.callers = array("I")
        self.addresses = array("I")
        self.logs = array("I")
        self.places = array("I")
        self.row = array("i")
        self.match = array("B")
        self.reason = array("B")
        self.events = Column()
        self.digests = Column()
        self.request_ids = Column()
        self.requests = LongTexts()

    def __len__(self) -> int:
        return len(self.times)


Match = Literal["none", "digest", "request-id", "time-window"]
MATCHES: Final[tuple[Match, ...]] = ("none", "digest", "request-id", "time-window")
"""How sure a match is: the log has the digest that the ledger has; it has the service's id of the request; it has
neither, and there are as many uses as signatures within the clock skew; there is none."""
Reason = Literal["", "unknown", "again", "other-digest", "refused-ledger", "repeated"]
REASONS: Final[tuple[Reason, ...]] = ("", "unknown", "again", "other-digest", "refused-ledger", "repeated")
"""Why a use is matched with none: no ledger knows it; the signature was made more often than ledgers say; the ledger
has another digest for that request; only a ledger with a broken chain knows it; the log's record was exported twice,
so that it is not a use at all."""
Outcome = Literal["asked", "obtained", "embedded", "kept", "discarded", "lost", "refused"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("asked", "obtained", "embedded", "kept", "discarded", "lost", "refused")
MADE: Final = frozenset(OUTCOMES.index(name) for name in ("obtained", "embedded", "kept", "discarded"))
"""Outcomes of signatures that the key made for sure."""
