"""Reads the logs of keys: finds their format, and counts and names what can't be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from kspsign.model.errors import ConfigurationError
from kspsign.reconciliation.key_logs.aws_cloudtrail import cloudtrail_record, is_cloudtrail
from kspsign.reconciliation.key_logs.azure_artifact_signing import artifact_signing_record, is_artifact_signing
from kspsign.reconciliation.key_logs.azure_key_vault import is_key_vault, key_vault_record
from kspsign.reconciliation.key_logs.digicert_one import digicert_one_record, is_digicert_one
from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.google_cloud import google_cloud_record, is_google_cloud
from kspsign.reconciliation.key_logs.named_columns import has_named_columns, named_columns_record
from kspsign.reconciliation.key_logs.raw_records import raw_records
from kspsign.reconciliation.key_logs.record import LogRecord

LogFormat = Literal[
    "azure-key-vault", "azure-artifact-signing", "digicert-one", "aws-cloudtrail", "google-cloud", "csv"
]
NAMED_UNREADABLE: Final = 20
"""Records that can't be read and are named, for each file; all are counted."""

_MANY_FIELDS: Final = 12
"""Fields of a record that are named, at most."""


class _Format(NamedTuple):
    is_one: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], LogRecord]


_FORMATS: Final[Mapping[LogFormat, _Format]] = {
    "azure-artifact-signing": _Format(is_artifact_signing, artifact_signing_record),
    "azure-key-vault": _Format(is_key_vault, key_vault_record),
    "aws-cloudtrail": _Format(is_cloudtrail, cloudtrail_record),
    "google-cloud": _Format(is_google_cloud, google_cloud_record),
    "digicert-one": _Format(is_digicert_one, digicert_one_record),
    "csv": _Format(has_named_columns, named_columns_record({})),
}


@dataclass(slots=True)
class KeyLog:
    """One file of a key's log, and what was found in it while `records` was used up.

    `unreadable` counts the records that could not be read; the first of them are named, with the reason.
    """

    path: Path
    format: LogFormat | None
    columns: Mapping[str, str] = field(default_factory=dict)
    records_read: int = 0
    uses: int = 0
    refused: int = 0
    unreadable: int = 0
    named: list[tuple[int, str]] = field(default_factory=list)

    def records(self) -> Iterator[tuple[int, LogRecord]]:
        """Every record that can be read, with its place in the file. Raises ConfigurationError for a file that can't
        be opened, or is not a log of a known format."""
        read = self._reader(self.format) if self.format is not None else None
        own: tuple[object, object] | None = None
        unseen, fields_seen = {"time": "time", **self.columns}, frozenset[str]()
        for place, fields, fault in raw_records(self.path):
            if fields is None:
                self._unreadable(place, fault)
                continue
            if read is None or self.format is None:
                self.format = self._detected(fields)
                read = self._reader(self.format)
            if self.format == "csv" and unseen:
                fields_seen = fields_seen.union(map(str, fields)) if len(fields_seen) < _MANY_FIELDS else fields_seen
                unseen = {name: column for name, column in unseen.items() if column not in fields}
            try:
                record = read(fields)
            except UnreadableRecordError as unreadable:
                self._unreadable(place, str(unreadable))
                continue
            if record.kind == "other":
                origin = fields.get("resourceId"), fields.get("category")
                foreign = None if origin == own else _foreign(fields, self.format)
                if foreign is not None:
                    self._unreadable(place, f"it is of {foreign}: give each service's records in their own file")
                    continue
                own = origin if all(origin) else None  # most records have those of the one before
            self.records_read += 1
            self.uses += record.kind == "use"
            self.refused += record.kind == "refused"
            yield place, record
        if self.format == "csv" and fields_seen and unseen:
            raise self._no_such_columns(unseen, fields_seen)

    def _no_such_columns(self, unseen: Mapping[str, str], fields: frozenset[str]) -> ConfigurationError:
        """A column that no record has would compare less than was asked for, or nothing."""
        return ConfigurationError(
            f"no record has the column {', '.join(f'{column!r} ({name})' for name, column in unseen.items())}; "
            f"they have {', '.join(sorted(fields)[:_MANY_FIELDS])}",
            remedy="Name the columns of the log as they are written in it with --log-column, such as --log-column "
            "time=Date; columns are separated by commas.",
            file=str(self.path),
        )

    def _reader(self, name: LogFormat) -> Callable[[Mapping[str, Any]], LogRecord]:
        return named_columns_record(self.columns) if name == "csv" else _FORMATS[name].read

    def _detected(self, fields: Mapping[str, Any]) -> LogFormat:
        if self.columns:
            return "csv"
        found = next((name for name, known in _FORMATS.items() if known.is_one(fields)), None)
        if found is None:
            names = sorted(map(str, fields))[:_MANY_FIELDS]
            raise ConfigurationError(
                f"the first record is of no log that is known; it has {', '.join(names)}",
                remedy=f"Name the format with --log-format ({', '.join(get_args(LogFormat))}); for a log of your own, "
                "name its columns with --log-column, such as --log-column time=Date.",
                file=str(self.path),
            )
        return found

    def _unreadable(self, place: int, reason: str) -> None:
        self.unreadable += 1
        if len(self.named) < NAMED_UNREADABLE:
            self.named.append((place, reason))


def _foreign(fields: Mapping[str, Any], expected: LogFormat) -> LogFormat | None:
    """The format of a record that is of another service than `expected`, whose reader would take it for no use."""
    if expected == "csv" or _FORMATS[expected].is_one(fields):
        return None
    return next((name for name, known in _FORMATS.items() if name != "csv" and known.is_one(fields)), None)
