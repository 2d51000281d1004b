"""Changes of a script: the lines of its signature block, and those around it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from generative.file_changes import FileChange


def script_changes(data: bytes) -> Iterator[FileChange]:
    lines = data.split(b"\r\n")
    marker = next(index for index, line in enumerate(lines) if b"SIG" in line)

    def change(what: str, at: int, *new: bytes, count: int = 1) -> FileChange:
        return FileChange("line", what, at, partial(b"\r\n".join, [*lines[:at], *new, *lines[at + count :]]))

    for at in range(max(marker - 2, 0), len(lines) + 1):
        for payload in (b"", b"payload", b"# payload", b"// SIG // payload", lines[min(at, len(lines) - 1)]):
            yield change(f"{payload[:20]!r} put in", at, payload, count=0)
        if at == len(lines):
            continue
        yield change("dropped", at)
        for payload in (b" ", b"\t", b"\0", b"payload", b"\n"):
            yield change(f"{payload!r} at its end", at, lines[at] + payload)
            yield change(f"{payload!r} before it", at, payload + lines[at])
        if at > marker:
            yield change("moved", at - 1, lines[at], lines[at - 1], count=2)
