"""The JSON report (schema kspsign.report/1), and how a run writes each file: whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import ConfigurationError
from kspsign.model.report import REPORT_SCHEMA, FileOutcome, Report
from kspsign.publishing.sanitize import encodable


def report_pieces(report: Report) -> Iterator[str]:
    """The report as JSON: the keys of the dataclasses, `schema` first, a line for each file and each use of the key,
    ASCII only. It comes in pieces, since it grows with the number of files.

    Each `#` is written as an escape (RFC 8259 §7): a later step that prints the report gives the agent no
    logging command.
    """
    ledger = report.ledger
    framing = replace(report, files=(), ledger=replace(ledger, uses=()) if ledger is not None else None)
    frame = json.loads(_line({"schema": report.schema, **_fields(framing)}))
    head, tail = json.dumps(frame, indent=1).split(_NO_FILES)
    yield _inert(f'{head}\n "files": [\n')
    yield from _listed(report.files)
    if ledger is not None and ledger.uses:
        between, tail = tail.split(_NO_USES)
        yield _inert(f'\n ]{between}\n  "uses": [\n')
        yield from _listed(ledger.uses)
        yield _inert(f"\n  ]{tail}\n")
    else:
        yield _inert(f"\n ]{tail}\n")


def report_text(report: Report) -> str:
    """All of `report_pieces`."""
    return "".join(report_pieces(report))


def outcome_text(outcome: FileOutcome) -> str:
    """One file's part of the report, likewise."""
    return _inert(json.dumps(json.loads(_line(outcome)), indent=1) + "\n")


def value_text(value: object) -> str:
    """Any value of the model as JSON in one line, likewise."""
    return _inert(_line(value))


def report_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the report."""
    from kspsign.publishing.read_report import report_adapter  # noqa: PLC0415 - only `kspsign schema` asks

    schema = report_adapter().json_schema(mode="serialization")
    schema["properties"]["schema"] = {"const": REPORT_SCHEMA, "title": "Schema"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_record(target: Path, pieces: Iterable[str]) -> None:
    """Write `pieces` as UTF-8 with their line feeds as they are: the whole file appears, or the old one stays.

    Missing folders are created. Raises ConfigurationError when `target` can't be written or is not a regular file.
    """
    with _may_be_refused(target):
        write_atomically(_regular_file(target), (piece.encode("utf-8") for piece in pieces))


def remove_record(target: Path, mark: bytes) -> bool:
    """Remove what an earlier run wrote at `target`, and return whether there was such a file: one that has `mark` near
    its beginning. Raises ConfigurationError when it can't be removed, or `target` is not a regular file."""
    with _may_be_refused(target):
        real = _regular_file(target)
        if not real.exists():
            return False
        with real.open("rb") as file:
            is_ours = mark in file.read(_HEAD)
        if is_ours:
            real.unlink()
        return is_ours


def _regular_file(target: Path) -> Path:
    """The file that `target` leads to, which need not be there. Raises ConfigurationError for a folder or device."""
    real = Path(os.path.realpath(target))
    if real.exists() and not real.is_file():
        raise ConfigurationError(
            "can't write: this is not a regular file",
            remedy="Name a file in a folder.",
            file=encodable(str(target)),
        )
    return real


@contextmanager
def _may_be_refused(target: Path) -> Iterator[None]:
    """Raises ConfigurationError for what the system refuses."""
    try:
        yield
    except (OSError, ValueError) as refused:
        raise ConfigurationError(
            f"can't write: {refused}",
            remedy="Name a file in a folder that may be written, on a disk with room.",
            file=encodable(str(target)),
        ) from refused


_PIECE_LINES = 100
"""Lines in one piece."""
_HEAD = 4096
"""Bytes in which a mark is looked for."""
_NO_FILES = '\n "files": []'
_NO_USES = '\n  "uses": []'
"""The places of the lines of files and uses; within a JSON string a line feed would be an escape."""


def _listed(values: Iterable[object]) -> Iterator[str]:
    """A line for each value."""
    rest, separator = iter(values), ""
    while some := [*islice(rest, _PIECE_LINES)]:
        yield separator + _inert(",\n".join(map(_line, some)))
        separator = ",\n"


def _line(value: object) -> str:
    """A value of the model as one line. Where surrogates are, all texts are looked through."""
    text = _ENCODER.encode(value)
    return json.dumps(_encodable(json.loads(text))) if "\\ud" in text else text


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(value.__class__)}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_ENCODER = json.JSONEncoder(default=_fields)


def _inert(text: str) -> str:
    return text.replace("#", "\\u0023")


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
