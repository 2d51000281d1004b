"""Stage 4: reports what a run did to people and to Azure Pipelines, and writes its records."""

from __future__ import annotations

from kspsign.publishing.console import Console, open_console, prepared
from kspsign.publishing.logging_commands import issue
from kspsign.publishing.progress import Meter
from kspsign.publishing.records import VERDICT_SCHEMA, is_proving, without_evidence, write_records
from kspsign.publishing.report_file import remove_record, report_schema, report_text, write_record
from kspsign.publishing.sanitize import log_line

__all__ = [
    "VERDICT_SCHEMA",
    "Console",
    "Meter",
    "is_proving",
    "issue",
    "log_line",
    "open_console",
    "prepared",
    "remove_record",
    "report_schema",
    "report_text",
    "without_evidence",
    "write_record",
    "write_records",
]
