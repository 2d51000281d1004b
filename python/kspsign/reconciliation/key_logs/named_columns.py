"""Any other log, as CSV or JSON lines whose columns have our names, or names that the user gave.

Every row is a use of the key, unless the column `result` says that the request failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.fields import digest, moment, succeeded, text
from kspsign.reconciliation.key_logs.record import LogRecord

COLUMNS: Final = ("time", "key", "caller", "address", "request_id", "digest", "result")


def has_named_columns(fields: Mapping[str, Any]) -> bool:
    """Whether a row has our column of times, and one that it can be matched by."""
    return "time" in fields and not {"key", "request_id", "digest"}.isdisjoint(fields)


def named_columns_record(columns: Mapping[str, str]) -> Callable[[Mapping[str, Any]], LogRecord]:
    """The reader of rows whose columns are named by `columns`: the name in the file by ours."""
    names = {column: columns.get(column, column) for column in COLUMNS}

    def record(fields: Mapping[str, Any]) -> LogRecord:
        written, result = text(fields, names["time"]), text(fields, names["result"])
        if not written:
            raise UnreadableRecordError(f"it has no value in the column of times, {names['time']!r}")
        request = text(fields, names["request_id"]).lower()
        return LogRecord(
            "use" if names["result"] not in fields or succeeded(result) else "refused",
            moment(written),
            "",
            text(fields, names["key"]),
            text(fields, names["caller"]),
            text(fields, names["address"]),
            request,
            digest(text(fields, names["digest"])),
            f"{written} {request}" if request else "",
        )

    return record
