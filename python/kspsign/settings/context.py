"""Where a run happens: in a step of Azure Pipelines or GitHub Actions, in a terminal, or with redirected output.

Decided once, from the variables that the agent hands to a step. Any caller may set these variables: nothing
here is evidence of anything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from kspsign.model.pipeline import PipelineFacts
    from kspsign.model.run_facts import BuildFacts

Surface = Literal["azure-pipelines", "github-actions", "terminal", "plain"]
Caller = Literal["cli", "task", "action", "signtool"]
"""Where the settings were written: a command line, the inputs of the task, those of the GitHub action, or a command
line of SignTool."""


class StepFiles(NamedTuple):
    """Files of a GitHub Actions step: what is appended becomes its outputs and its part of the job's summary."""

    outputs: Path | None
    summary: Path | None


class RunContext(NamedTuple):
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
        build, pipeline = _azure_run(variables)
        return cls(
            surface=surface,
            build=build,
            job_id=variables.get("SYSTEM_JOBID") or None,
            temp_folder=Path(variables.get("AGENT_TEMPDIRECTORY") or tempfile.gettempdir()),
            debug=_is_true(variables, "SYSTEM_DEBUG"),
            parallel=_parallel(variables),
            pipeline=pipeline,
            release_uri=variables.get("RELEASE_RELEASEURI") or None,
            release_environment_uri=variables.get("RELEASE_ENVIRONMENTURI") or None,
            source_date_epoch=variables.get("SOURCE_DATE_EPOCH") or None,
        )

    @classmethod
    def _github(cls, variables: Mapping[str, str]) -> RunContext:
        build, pipeline = _github_run(variables)
        return cls(
            surface="github-actions",
            build=build,
            job_id=variables.get("GITHUB_JOB") or None,
            temp_folder=Path(variables.get("RUNNER_TEMP") or tempfile.gettempdir()),
            debug=variables.get("RUNNER_DEBUG") == "1",
            pipeline=pipeline,
            step_files=StepFiles(_path(variables, "GITHUB_OUTPUT"), _path(variables, "GITHUB_STEP_SUMMARY")),
            source_date_epoch=variables.get("SOURCE_DATE_EPOCH") or None,
        )


def _is_true(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").strip().lower() == "true"


def _path(variables: Mapping[str, str], name: str) -> Path | None:
    return Path(variables[name]) if variables.get(name) else None


def number(variables: Mapping[str, str], name: str) -> int | None:
    """The variable as a number; None where it is not one."""
    text = variables.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def _parallel(variables: Mapping[str, str]) -> tuple[int, int] | None:
    position, total = number(variables, "SYSTEM_JOBPOSITIONINPHASE"), number(variables, "SYSTEM_TOTALJOBSINPHASE")
    return (position, total) if position and total and position <= total else None


def _azure_run(variables: Mapping[str, str]) -> tuple[BuildFacts | None, PipelineFacts | None]:
    if not variables.get("BUILD_BUILDID"):
        return None, None
    from kspsign.settings.pipeline_run import azure_build, azure_pipeline  # noqa: PLC0415 - a terminal has none

    return azure_build(variables), azure_pipeline(variables)


def _github_run(variables: Mapping[str, str]) -> tuple[BuildFacts | None, PipelineFacts | None]:
    if not variables.get("GITHUB_RUN_ID"):
        return None, None
    from kspsign.settings.pipeline_run import github_build, github_pipeline  # noqa: PLC0415 - likewise

    return github_build(variables), github_pipeline(variables)
