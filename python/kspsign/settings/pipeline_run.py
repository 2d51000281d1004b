"""What the variables of a pipeline's step say of its run: the build, its source and its definition."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kspsign.model.pipeline import PipelineFacts
from kspsign.model.run_facts import BuildFacts
from kspsign.settings.context import number


def azure_build(variables: Mapping[str, str]) -> BuildFacts:
    """The run of Azure Pipelines, by its job."""
    return BuildFacts(
        id=variables["BUILD_BUILDID"],
        number=_first(variables, "BUILD_BUILDNUMBER"),
        definition=_first(variables, "BUILD_DEFINITIONNAME"),
        project=_first(variables, "SYSTEM_TEAMPROJECT"),
        collection=_first(variables, "SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
        repository=_first(variables, "BUILD_REPOSITORY_NAME"),
        source_version=_first(variables, "BUILD_SOURCEVERSION"),
        job=_first(variables, "SYSTEM_JOBDISPLAYNAME", "AGENT_JOBNAME"),
        attempt=number(variables, "SYSTEM_JOBATTEMPT") or 1,
    )


def azure_pipeline(variables: Mapping[str, str]) -> PipelineFacts:
    """Names of variables: Azure Pipelines, "Use predefined variables"; the agent's Constants.Variables.Agent."""
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


def github_build(variables: Mapping[str, str]) -> BuildFacts:
    """The workflow's run; GitHub's owner takes the place of the project, its server that of the collection."""
    return BuildFacts(
        id=variables["GITHUB_RUN_ID"],
        number=_first(variables, "GITHUB_RUN_NUMBER"),
        definition=_first(variables, "GITHUB_WORKFLOW"),
        project=_first(variables, "GITHUB_REPOSITORY_OWNER"),
        collection=_first(variables, "GITHUB_SERVER_URL"),
        repository=_first(variables, "GITHUB_REPOSITORY"),
        source_version=_first(variables, "GITHUB_SHA"),
        job=_first(variables, "GITHUB_JOB"),
        attempt=number(variables, "GITHUB_RUN_ATTEMPT") or 1,
    )


def github_pipeline(variables: Mapping[str, str]) -> PipelineFacts:
    """Names of variables: GitHub Actions, "Default environment variables"."""
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


def _without_login(url: str) -> str:
    """`url` without user name and password, which a repository of others may have in it."""
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", url, flags=re.IGNORECASE)


def _first(variables: Mapping[str, str], *names: str) -> str:
    return next((variables[name] for name in names if variables.get(name)), "")
