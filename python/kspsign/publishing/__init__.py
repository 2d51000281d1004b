"""Stage 4: tells people and Azure Pipelines what a run did, and leaves the records of it."""

from __future__ import annotations

from kspsign.publishing.console import Console, open_console
from kspsign.publishing.records import publish
from kspsign.publishing.report_file import report_schema, report_text, write_atomically

__all__ = ["Console", "open_console", "publish", "report_schema", "report_text", "write_atomically"]
