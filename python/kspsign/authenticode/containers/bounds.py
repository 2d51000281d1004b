"""How much a container may hold: what is beyond is refused before anything is unpacked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kspsign.authenticode.zip import MAX_ENTRIES, ZipEntry
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_FREE: Final = 64 << 20
"""Bytes that a container may unpack to whatever the ratio: a small one of zeros does no harm."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most `entries` in a container, the most bytes that they unpack to together (`unpacked`), and how many times
    as many bytes as the container has that may be (`ratio`)."""

    entries: int = MAX_ENTRIES
    unpacked: int = 16 << 30
    ratio: int = 200

    def check(self, entries: Iterable[ZipEntry], size: int) -> None:
        """Raise ArtifactError (ERROR_NOT_SUPPORTED) when these entries of a container of `size` bytes are beyond."""
        count = total = 0
        for entry in entries:
            count += 1
            total += entry.size
        if count > self.entries:
            raise _beyond(f"it has {count} entries, more than the {self.entries} that one container may have")
        if total > self.unpacked:
            raise _beyond(f"it unpacks to {total} bytes, more than the {self.unpacked} that one container may")
        if total > max(_FREE, self.ratio * size):
            raise _beyond(
                f"its {size} bytes unpack to {total}, more than {self.ratio} times as many: a decompression bomb"
            )


def _beyond(what: str) -> ArtifactError:
    return ArtifactError(
        Hresult.ERROR_NOT_SUPPORTED,
        f"what is inside can't be signed: {what}",
        remedy="Check where the file comes from; if it is correct, exclude it from those signed inside (!pattern).",
    )
