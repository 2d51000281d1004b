"""A file that is written as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """The new file at `path`, open for reading and writing; removed when the block raises. Raises OSError, as when
    there is a file already."""
    file = path.open("x+b")
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
