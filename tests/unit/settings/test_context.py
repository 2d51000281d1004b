"""Where a run happens, as the agent's variables tell it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from kspsign.model.pipeline import PipelineFacts
from kspsign.model.run_facts import BuildFacts
from kspsign.settings.context import RunContext

STEP = {
    "TF_BUILD": "True",
    "BUILD_BUILDID": "4711",
    "BUILD_BUILDNUMBER": "20260131.2",
    "BUILD_DEFINITIONNAME": "release",
    "SYSTEM_TEAMPROJECT": "Apps",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/example/",
    "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": "https://example.visualstudio.com/",
    "BUILD_REPOSITORY_NAME": "app",
    "BUILD_SOURCEVERSION": "0123abcd",
    "BUILD_SOURCEBRANCH": "refs/heads/main",
    "BUILD_REPOSITORY_URI": "https://ada:token@dev.azure.com/example/Apps/_git/app",
    "SYSTEM_DEFINITIONID": "12",
    "BUILD_REQUESTEDFOR": "Ada",
    "BUILD_REASON": "Manual",
    "SYSTEM_TEAMPROJECTID": "4f2c",
    "AGENT_ISSELFHOSTED": "0",
    "SYSTEM_JOBDISPLAYNAME": "Sign",
    "AGENT_JOBNAME": "Job",
    "SYSTEM_JOBID": "12f1170f-54f2-53f3-20dd-22fc7dff55f9",
    "SYSTEM_JOBATTEMPT": "3",
    "AGENT_TEMPDIRECTORY": "agent-temp",
    "SYSTEM_DEBUG": "true",
}


def test_a_pipeline_step_is_known_by_the_agents_variables() -> None:
    assert RunContext.from_environment(STEP, is_tty=True) == RunContext(
        surface="azure-pipelines",
        build=BuildFacts(
            id="4711",
            number="20260131.2",
            definition="release",
            project="Apps",
            collection="https://dev.azure.com/example/",
            repository="app",
            source_version="0123abcd",
            job="Sign",
            attempt=3,
        ),
        job_id="12f1170f-54f2-53f3-20dd-22fc7dff55f9",
        temp_folder=Path("agent-temp"),
        debug=True,
        pipeline=PipelineFacts(
            host="azure-pipelines",
            branch="refs/heads/main",
            repository_uri="https://dev.azure.com/example/Apps/_git/app",
            definition_id="12",
            requested_for="Ada",
            reason="Manual",
            project_uri="https://dev.azure.com/example/4f2c",
            hosted=True,
        ),
    )


@pytest.mark.parametrize("value", ["True", "true", "TRUE"])
def test_tf_build_counts_in_any_case(value: str) -> None:
    assert RunContext.from_environment({"TF_BUILD": value}, is_tty=False).surface == "azure-pipelines"


def test_outside_a_pipeline_the_stream_decides() -> None:
    terminal = RunContext.from_environment({}, is_tty=True)
    plain = RunContext.from_environment({"TF_BUILD": "False"}, is_tty=False)
    assert (terminal.surface, plain.surface) == ("terminal", "plain")
    assert (terminal.build, terminal.job_id, terminal.debug) == (None, None, False)
    assert terminal.temp_folder == Path(tempfile.gettempdir())


def test_older_names_of_the_agents_variables_serve_as_well() -> None:
    older = {key: value for key, value in STEP.items() if key not in {"SYSTEM_COLLECTIONURI", "SYSTEM_JOBDISPLAYNAME"}}
    build = RunContext.from_environment(older, is_tty=False).build
    assert build is not None
    assert (build.collection, build.job) == ("https://example.visualstudio.com/", "Job")


@pytest.mark.parametrize("attempt", ["", "x", "²", "-1"])
def test_an_attempt_that_is_no_number_is_the_first(attempt: str) -> None:
    build = RunContext.from_environment({**STEP, "SYSTEM_JOBATTEMPT": attempt}, is_tty=False).build
    assert build is not None
    assert build.attempt == 1
