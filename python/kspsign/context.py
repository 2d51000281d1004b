"""Where a run happens: in an Azure Pipelines step, in a terminal, or with its output going elsewhere.

Decided once, from the variables that the agent hands to a step. Any caller may set these variables: nothing
here is evidence of anything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kspsign.model import BuildFacts

Surface = Literal["azure-pipelines", "terminal", "plain"]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The surroundings of one run.

    `build` and `job_id` are None outside a pipeline. `temp_folder` is emptied by the agent after the job, not
    before queued uploads are done. `debug` is the pipeline's System.Debug.
    """

    surface: Surface
    build: BuildFacts | None
    job_id: str | None
    temp_folder: Path
    debug: bool

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], *, is_tty: bool) -> RunContext:
        """The context that `variables` (named as in a step's environment) and the output stream describe."""
        surface: Surface = "terminal" if is_tty else "plain"
        if _is_true(variables, "TF_BUILD"):
            surface = "azure-pipelines"
        return cls(
            surface=surface,
            build=_build_facts(variables),
            job_id=variables.get("SYSTEM_JOBID") or None,
            temp_folder=Path(variables.get("AGENT_TEMPDIRECTORY") or tempfile.gettempdir()),
            debug=_is_true(variables, "SYSTEM_DEBUG"),
        )


def _is_true(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").strip().lower() == "true"


def _build_facts(variables: Mapping[str, str]) -> BuildFacts | None:
    def first(*names: str) -> str:
        return next((variables[name] for name in names if variables.get(name)), "")

    build_id = first("BUILD_BUILDID")
    if not build_id:
        return None
    attempt = first("SYSTEM_JOBATTEMPT")
    return BuildFacts(
        id=build_id,
        number=first("BUILD_BUILDNUMBER"),
        definition=first("BUILD_DEFINITIONNAME"),
        project=first("SYSTEM_TEAMPROJECT"),
        collection=first("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
        repository=first("BUILD_REPOSITORY_NAME"),
        source_version=first("BUILD_SOURCEVERSION"),
        job=first("SYSTEM_JOBDISPLAYNAME", "AGENT_JOBNAME"),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
    )
