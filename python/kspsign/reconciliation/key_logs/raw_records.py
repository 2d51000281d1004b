"""The records of a log's file as they are written: JSON lines, JSON documents or CSV, also in gzip or UTF-16.

A file is read as a stream, and a record that can't be read does not hide those after it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TextIO, cast

from kspsign.model.errors import ConfigurationError
from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.json_values import LISTS, MAX_VALUE, JsonObjects, rows_of_tables

_GZIP: Final = b"\x1f\x8b"
_HEAD: Final = 1 << 16
_TABLES: Final = re.compile(r'\s*\{\s*"tables"\s*:')
_LARGEST_TABLE: Final = 64 << 20


class RawRecord(NamedTuple):
    """One record: its place in the file (the line, or the number in a JSON document), and its fields, or why there are
    none."""

    place: int
    fields: Mapping[str, Any] | None
    fault: str = ""


def raw_records(path: Path) -> Iterator[RawRecord]:
    """Every record of the file. Raises ConfigurationError when the file can't be opened."""
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            content = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if zipped else file)
            yield from _records(io.BufferedReader(content, _HEAD) if zipped else content)
    except OSError as refused:
        raise ConfigurationError(
            f"the log of the key can't be read: {refused.strerror or refused}",
            remedy="Name the exported file with --key-log, as the service wrote it or in gzip.",
            file=str(path),
        ) from refused


def _records(content: Any) -> Iterator[RawRecord]:
    head = content.peek(_HEAD)[:_HEAD]
    utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if utf_16 else "utf-8-sig"
    stream = io.TextIOWrapper(content, encoding, errors="surrogateescape" if not utf_16 else "replace", newline="")
    start = head.decode(encoding, "replace").lstrip()
    place = 0
    try:
        for record in _by_shape(start, stream):
            place = record.place
            yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as cut:
        yield RawRecord(place + 1, None, f"the rest of the file can't be read: {cut}")
    finally:
        stream.detach()


def _by_shape(start: str, stream: TextIO) -> Iterator[RawRecord]:
    if _TABLES.match(start):
        return _tables(stream)
    if start[:1] not in {"{", "["}:
        return _rows(stream)
    return _lines(stream) if _has_lines(start) else _document(stream)


def _has_lines(start: str) -> bool:
    """Whether each record has a line of its own, by the first line, or by both where that one is broken."""
    first, _, rest = start.partition("\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return first.rstrip().endswith("}") and rest.startswith("{")
    return isinstance(value, dict) and LISTS.isdisjoint(value)


def _lines(stream: TextIO) -> Iterator[RawRecord]:
    place, continued = 0, False
    while line := stream.readline(MAX_VALUE):
        place += not continued
        continued, was_continued = not line.endswith("\n") and len(line) >= MAX_VALUE, continued
        if was_continued:
            continue
        if continued:
            yield RawRecord(place, None, "the line is too long")
        elif not line.isspace():
            yield _parsed(place, line)


def _parsed(place: int, line: str) -> RawRecord:
    try:
        return _checked(place, json.loads(line))
    except (ValueError, RecursionError) as broken:
        return RawRecord(place, None, f"the line is not JSON: {broken}")


def _document(stream: TextIO) -> Iterator[RawRecord]:
    objects = JsonObjects(stream)
    try:
        for value in objects:
            yield _checked(objects.place, value)
    except UnreadableRecordError as broken:
        yield RawRecord(objects.place, None, str(broken))


def _tables(stream: TextIO) -> Iterator[RawRecord]:
    content = stream.read(_LARGEST_TABLE + 1)
    if len(content) > _LARGEST_TABLE:
        yield RawRecord(1, None, "the answer is too large to be read; query a shorter time, or export CSV")
        return
    place = 0
    try:
        for place, row in enumerate(rows_of_tables(json.loads(content)), 1):
            yield RawRecord(place, row)
    except (ValueError, RecursionError, UnreadableRecordError) as broken:
        yield RawRecord(place + 1, None, str(broken))


def _rows(stream: TextIO) -> Iterator[RawRecord]:
    reader = csv.reader(stream, strict=True)
    names: list[str] | None = None
    while True:
        before = reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as broken:
            yield RawRecord(before + 1, None, f"the row is not CSV: {broken}")
            continue
        if not row:
            continue
        if names is None:
            names = [name.strip() for name in row]
        elif len(row) != len(names):
            yield RawRecord(before + 1, None, f"the row has {len(row)} columns, the header {len(names)}")
        else:
            yield RawRecord(before + 1, dict(zip(names, row, strict=True)))


def _checked(place: int, value: object) -> RawRecord:
    if isinstance(value, dict):
        return RawRecord(place, value)
    return RawRecord(place, None, f"it is {type(value).__name__}, and not an object")
