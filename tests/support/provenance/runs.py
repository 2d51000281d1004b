"""Runs that sign and write provenance, in a pipeline that says what it builds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.azure_devops.uploads import step_variables
from support.samples import Run, kspsign_at
from support.signing import Publisher

REPOSITORY, COMMIT = "https://dev.azure.com/acme/tools/_git/app", "0123456789abcdef0123456789abcdef01234567"
SOURCE: Mapping[str, str] = {
    "BUILD_SOURCEBRANCH": "refs/heads/main",
    "BUILD_SOURCEVERSION": COMMIT,
    "BUILD_REPOSITORY_URI": REPOSITORY,
    "BUILD_DEFINITIONNAME": "release",
    "SYSTEM_DEFINITIONID": "12",
    "BUILD_REQUESTEDFOR": "Ada",
    "BUILD_REASON": "Manual",
    "SYSTEM_TEAMPROJECTID": "4f2c",
}


def pipeline(folder: Path, source: Mapping[str, str] = SOURCE) -> dict[str, str]:
    """The variables of a step in Azure Pipelines; {} without a source."""
    return {**step_variables("https://dev.azure.com/acme/", folder / "temp"), **source} if source else {}


def signing_options(publisher: Publisher, folder: Path) -> tuple[object, ...]:
    """What signs in the publisher's name, writes p.json and keeps a ledger."""
    chosen = (*publisher.file.options, "--timestamp-url", publisher.timestamp_url, "--trust-root", publisher.roots)
    return (*chosen, "--provenance", "p.json", "--store", folder / "store", "--ledger", "ledger.jsonl")


def sign(publisher: Publisher, folder: Path, *more: object, source: Mapping[str, str] = SOURCE) -> Run:
    """Sign the folder's *.dll, with provenance."""
    options = (*signing_options(publisher, folder), *more)
    return kspsign_at("sign", "*.dll", *options, folder=folder, environment=pipeline(folder, source))
