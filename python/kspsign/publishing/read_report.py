"""Reads a JSON report that a run wrote."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kspsign.model.errors import ConfigurationError
from kspsign.model.report import REPORT_SCHEMA, Report
from kspsign.model.text import decode_text
from kspsign.settings.faults import faults

_REMEDY = "Name the JSON report of a run (--report, or the output variable reportPath) and no other file."


def read_report(path: Path, name: str) -> Report:
    """The report in the file at `path`, which errors call `name`. What an older version did not write is empty.

    Raises ConfigurationError for a file that can't be read or is not a report.
    """
    try:
        report = report_adapter().validate_json(decode_text(path.read_bytes()), strict=True)
    except OSError as unreadable:
        fault = f"the report can't be read: {unreadable.strerror or unreadable}"
        raise ConfigurationError(fault, remedy=_REMEDY, file=name) from unreadable
    except UnicodeDecodeError as broken:
        raise ConfigurationError("this is not a report: it is not text", remedy=_REMEDY, file=name) from broken
    except ValidationError as broken:
        fault = f"this is not a report: {_first_fault(broken)}"
        raise ConfigurationError(fault, remedy=_REMEDY, file=name) from broken
    if report.schema != REPORT_SCHEMA:
        raise ConfigurationError(f"this is not a report: its schema is {report.schema!r}", remedy=_REMEDY, file=name)
    return report


def _first_fault(invalid: ValidationError) -> str:
    """The first of a document's faults: why it is not JSON, or which of its values is not a report's."""
    place, text = next(faults(invalid))
    return f"{place}: {text}" if place else text


def report_adapter() -> TypeAdapter[Report]:
    """What reads the report and has its schema: pydantic finds the classes that annotations of report.py name, but
    which it does not import, among the names of this function."""
    from kspsign.model.ledger_facts import LedgerFacts  # noqa: F401, PLC0415 - a name for pydantic
    from kspsign.model.run_facts import (  # noqa: PLC0415 - likewise
        BuildFacts,  # noqa: F401 - likewise
        ConfigurationFacts,  # noqa: F401 - likewise
        InsideFacts,  # noqa: F401 - likewise
        PolicyFacts,  # noqa: F401 - likewise
        ProvenanceFacts,  # noqa: F401 - likewise
        SliceFacts,  # noqa: F401 - likewise
    )
    from kspsign.model.signing_facts import CertificateFacts, Limits  # noqa: F401, PLC0415 - likewise
    from kspsign.model.written_ledger import AnchorFacts, MonthFacts, RotationFacts  # noqa: F401, PLC0415 - likewise

    return TypeAdapter(Report)
