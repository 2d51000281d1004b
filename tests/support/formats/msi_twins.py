"""What tests of tampered packages share: where things are in a compound file, and what becomes of a twin."""

from __future__ import annotations

from pathlib import Path

from support.formats.compound_builder import Folder, write_compound
from support.samples import Store, kspsign, osslsigncode_verify

SECTOR, ENTRY = 512, 128


class Parts:
    """Where things are in a compound file of version 3 (MS-CFB §2.2, §2.6), found without anything of ours."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.directory = self.sector(self.number(48))
        self.mini_fat = self.sector(self.number(60))
        self.fat_tables = [self.sector(self.number(76 + 4 * index)) for index in range(self.number(44))]
        self.fat = self.fat_tables[0]
        self.mini_stream = self.sector(self.number(self.directory + 116))

    def number(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + 4], "little")

    @staticmethod
    def sector(number: int) -> int:
        return (number + 1) * SECTOR

    def entry(self, name: str) -> int:
        """Where the directory entry of that name is."""
        at = self.data.index(name.encode("utf-16-le") + b"\0\0", self.directory)
        assert (at - self.directory) % ENTRY == 0
        return at

    def content(self, name: str) -> int:
        """Where the stream's content begins."""
        start = self.number(self.entry(name) + 116)
        return self.sector(start) if self.size(name) >= 4096 else self.mini_stream + start * 64

    def size(self, name: str) -> int:
        return self.number(self.entry(name) + 120)

    def fat_of(self, name: str) -> int:
        """Where the FAT has the number that follows the stream's first sector."""
        return self.fat + self.number(self.entry(name) + 116) * 4


class Twin:
    """Writes twins to one place and says what we and the peer make of them."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self._store = store
        self.text = ""

    def refusal(self, data: bytes) -> str | None:
        """The code with which `kspsign verify` refuses `data`, None when it accepts it."""
        self.path.write_bytes(data)
        run = kspsign("verify", "--verbose", self.path, "--trust-root", self._store.root, folder=self.path.parent)
        assert run.code == (0 if run.error_code is None else 2)
        self.text = run.text
        return run.error_code

    def refusal_of_tree(self, tree: Folder) -> str | None:
        """Likewise for a package that contains `tree`."""
        write_compound(self.path, tree)
        return self.refusal(self.path.read_bytes())

    def peer_accepts(self) -> bool:
        """Whether osslsigncode verifies the last twin."""
        return osslsigncode_verify(self.path, self._store.root).accepted
