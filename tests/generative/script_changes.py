"""Changes of a script: the lines of its signature block, and those around it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from generative.file_changes import FileChange

_BLOCK = b"SIG"


def script_changes(data: bytes) -> Iterator[FileChange]:
    yield from _whole_changes(data)
    lines = data.split(b"\r\n")
    marker = next(index for index, line in enumerate(lines) if _BLOCK in line)

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


def _whole_changes(data: bytes) -> Iterator[FileChange]:
    """Other encodings of the text, other line ends, and more than one block."""
    text = data.decode("utf-8-sig")
    lines = text.splitlines(keepends=True)
    ends = [at for at, line in enumerate(lines) if "signature block" in line or "signature>" in line]
    before, block, after = ("".join(part) for part in _parts(lines, ends[0], ends[-1] + 1))

    def change(what: str, new: bytes | str) -> FileChange:
        made = new.encode("utf-8-sig") if isinstance(new, str) else new
        return FileChange("text", what, -1, lambda: made)

    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-8", "utf-7", "cp1252"):
        for mark in ("", "\ufeff", "\ufeff\ufeff"):
            yield change(f"{codec}, {len(mark)} marks", (mark + text).encode(codec, "replace"))
    for name, end in {"LF": "\n", "CR": "\r", "NEL": "\x85", "LS": "\u2028"}.items():
        yield change(name, text.replace("\r\n", end))
        yield change(f"{name} before the block", before.replace("\r\n", end) + block + after)
    yield change("a second block", before + block + block + after)
    yield change("a block in front", block + before + block + after)
    yield change("a block in upper case after it", before + block + block.upper() + after)
    yield change("the block in upper case", before + block.upper() + after)
    yield change("NUL before the block", before + "\0" + block + after)
    yield change("a line before the block", before + "payload\r\n" + block + after)
    yield change("a blank line before the block", before + "\r\n" + block + after)
    for what, tail in {"NUL": "\0", "end of file": "\x1a", "line": "payload\r\n", "no-break space": "\xa0"}.items():
        yield change(f"{what} at the end", text + tail)
    yield change("decomposed", text.replace("ö", "o\u0308"))


def _parts(lines: list[str], start: int, end: int) -> tuple[list[str], list[str], list[str]]:
    return lines[:start], lines[start:end], lines[end:]
