"""Where a run happens: in a step of Azure Pipelines or GitHub Actions, in a terminal, or with redirected output.

Decided once, from the variables that the agent hands to a step. Any caller may set these variables: nothing
here is evidence of anything.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from kspsign.model.pipeline import PipelineFacts
from kspsign.model.report import BuildFacts

Surface = Literal["azure-pipelines", "github-actions", "terminal", "plain"]
Caller = Literal["cli", "task", "action", "signtool"]
"""Where the settings were written: a command line, the inputs of the task, those of the GitHub action, or a command
line of SignTool."""


class StepFiles(NamedTuple):
    """Files of a GitHub Actions step: what is appended becomes its outputs and its part of the job's summary."""

    outputs: Path | None
    summary: Path | None


@dataclass(frozen=True, slots=True)
class RunContext:
    """The surroundings of one run.

    `build`, `job_id` and `pipeline` are None outside a pipeline. `temp_folder` is emptied by the agent after the job,
    not before queued uploads are done. `debug` is the pipeline's System.Debug. `parallel` is the position of this job
    among the jobs of its `strategy: parallel`, and their number. The release URIs are a classic release's.
    `source_date_epoch` is the date of a reproducible build as it is given, in seconds since 1970.
    """

    surface: Surface
    build: BuildFacts | None
    job_id: str | None
    temp_folder: Path
    debug: bool
    parallel: tuple[int, int] | None = None
    step_files: StepFiles | None = None
    release_uri: str | None = None
    release_environment_uri: str | None = None
    source_date_epoch: str | None = None
    caller: Caller = "cli"
    pipeline: PipelineFacts | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], *, is_tty: bool) -> RunContext:
        """The context that `variables` (named as in a step's environment) and the output stream describe."""
        if _is_true(variables, "TF_BUILD"):
            return cls._azure("azure-pipelines", variables)
        if _is_true(variables, "GITHUB_ACTIONS"):
            return cls._github(variables)
        return cls._azure("terminal" if is_tty else "plain", variables)

    @classmethod
    def _azure(cls, surface: Surface, variables: Mapping[str, str]) -> RunContext:
        return cls(
            surface=surface,
            build=_azure_build(variables),
            job_id=variables.get("SYSTEM_JOBID") or None,
            temp_folder=Path(variables.get("AGENT_TEMPDIRECTORY") or tempfile.gettempdir()),
            debug=_is_true(variables, "SYSTEM_DEBUG"),
            parallel=_parallel(variables),
            pipeline=_azure_pipeline(variables),
            release_uri=variables.get("RELEASE_RELEASEURI") or None,
            release_environment_uri=variables.get("RELEASE_ENVIRONMENTURI") or None,
            source_date_epoch=variables.get("SOURCE_DATE_EPOCH") or None,
        )

    @classmethod
    def _github(cls, variables: Mapping[str, str]) -> RunContext:
        return cls(
            surface="github-actions",
            build=_github_build(variables),
            job_id=variables.get("GITHUB_JOB") or None,
            temp_folder=Path(variables.get("RUNNER_TEMP") or tempfile.gettempdir()),
            debug=variables.get("RUNNER_DEBUG") == "1",
            pipeline=_github_pipeline(variables),
            step_files=StepFiles(_path(variables, "GITHUB_OUTPUT"), _path(variables, "GITHUB_STEP_SUMMARY")),
            source_date_epoch=variables.get("SOURCE_DATE_EPOCH") or None,
        )


def _is_true(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").strip().lower() == "true"


def _path(variables: Mapping[str, str], name: str) -> Path | None:
    return Path(variables[name]) if variables.get(name) else None


def _number(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _parallel(variables: Mapping[str, str]) -> tuple[int, int] | None:
    position, total = _number(variables, "SYSTEM_JOBPOSITIONINPHASE"), _number(variables, "SYSTEM_TOTALJOBSINPHASE")
    return (position, total) if position and total and position <= total else None


def _first(variables: Mapping[str, str], *names: str) -> str:
    return next((variables[name] for name in names if variables.get(name)), "")


def _azure_build(variables: Mapping[str, str]) -> BuildFacts | None:
    build_id = _first(variables, "BUILD_BUILDID")
    if not build_id:
        return None
    return BuildFacts(
        id=build_id,
        number=_first(variables, "BUILD_BUILDNUMBER"),
        definition=_first(variables, "BUILD_DEFINITIONNAME"),
        project=_first(variables, "SYSTEM_TEAMPROJECT"),
        collection=_first(variables, "SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
        repository=_first(variables, "BUILD_REPOSITORY_NAME"),
        source_version=_first(variables, "BUILD_SOURCEVERSION"),
        job=_first(variables, "SYSTEM_JOBDISPLAYNAME", "AGENT_JOBNAME"),
        attempt=_number(variables, "SYSTEM_JOBATTEMPT") or 1,
    )


def _github_build(variables: Mapping[str, str]) -> BuildFacts | None:
    """The workflow's run; GitHub's owner takes the place of the project, its server that of the collection."""
    run_id = _first(variables, "GITHUB_RUN_ID")
    if not run_id:
        return None
    return BuildFacts(
        id=run_id,
        number=_first(variables, "GITHUB_RUN_NUMBER"),
        definition=_first(variables, "GITHUB_WORKFLOW"),
        project=_first(variables, "GITHUB_REPOSITORY_OWNER"),
        collection=_first(variables, "GITHUB_SERVER_URL"),
        repository=_first(variables, "GITHUB_REPOSITORY"),
        source_version=_first(variables, "GITHUB_SHA"),
        job=_first(variables, "GITHUB_JOB"),
        attempt=_number(variables, "GITHUB_RUN_ATTEMPT") or 1,
    )


def _azure_pipeline(variables: Mapping[str, str]) -> PipelineFacts | None:
    """Names of variables: Azure Pipelines, "Use predefined variables"; the agent's Constants.Variables.Agent."""
    if not _first(variables, "BUILD_BUILDID"):
        return None
    collection, project = _first(variables, "SYSTEM_COLLECTIONURI"), _first(variables, "SYSTEM_TEAMPROJECTID")
    return PipelineFacts(
        host="azure-pipelines",
        branch=_first(variables, "BUILD_SOURCEBRANCH"),
        repository_uri=_without_login(_first(variables, "BUILD_REPOSITORY_URI")),
        definition_id=_first(variables, "SYSTEM_DEFINITIONID"),
        requested_for=_first(variables, "BUILD_REQUESTEDFOR"),
        reason=_first(variables, "BUILD_REASON"),
        project_uri=f"{collection}{project}" if collection and project else "",
        hosted=_first(variables, "AGENT_ISSELFHOSTED") == "0",
    )


def _without_login(url: str) -> str:
    """`url` without user name and password, which a repository of others may have in it."""
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", url, flags=re.IGNORECASE)


def _github_pipeline(variables: Mapping[str, str]) -> PipelineFacts | None:
    if not _first(variables, "GITHUB_RUN_ID"):
        return None
    repository = f"{_first(variables, 'GITHUB_SERVER_URL')}/{_first(variables, 'GITHUB_REPOSITORY')}"
    return PipelineFacts(
        host="github-actions",
        branch=_first(variables, "GITHUB_REF"),
        repository_uri=repository,
        definition_id=_first(variables, "GITHUB_WORKFLOW_REF"),
        requested_for=_first(variables, "GITHUB_ACTOR"),
        reason=_first(variables, "GITHUB_EVENT_NAME"),
        project_uri=repository,
        hosted=_first(variables, "RUNNER_ENVIRONMENT") == "github-hosted",
    )
