"""Azure DevOps over REST: what a gate asks of a build and what publishing leaves there."""

from __future__ import annotations

from kspsign.azure_devops.open import open_client
from kspsign.azure_devops.protocol import AzureDevOps, PublishedResult, TestRunPlan
from kspsign.azure_devops.values import (
    DEV_TASK_ID,
    LEDGER_TYPE,
    REPORT_TYPE,
    TASK_ID,
    VERDICT_TYPE,
    AttachmentRef,
    BuildState,
    Timeline,
    TimelineRecord,
)

__all__ = [
    "DEV_TASK_ID",
    "LEDGER_TYPE",
    "REPORT_TYPE",
    "TASK_ID",
    "VERDICT_TYPE",
    "AttachmentRef",
    "AzureDevOps",
    "BuildState",
    "PublishedResult",
    "TestRunPlan",
    "Timeline",
    "TimelineRecord",
    "open_client",
]
