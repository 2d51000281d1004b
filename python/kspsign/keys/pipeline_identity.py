"""The OIDC token by which a pipeline vouches for the job: Azure Pipelines' (of a service connection), or GitHub's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlencode

from kspsign.keys.github_token import GitHubToken
from kspsign.keys.options import PipelineConnection
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import USER_AGENT, Silence, one_line, send
from kspsign.model.errors import PrerequisiteError
from kspsign.network.exchange import Question
from kspsign.network.failures import status_text
from kspsign.network.pool import Pool

CODE: Final = "OIDC_TOKEN"
_API = "7.1"


@dataclass(frozen=True, slots=True)
class PipelineIdentity:
    """Whom the pipeline vouches for, in words. `token` gets a new token; it raises PrerequisiteError without one."""

    who: str
    token: Callable[[], str] = field(repr=False)


def pipeline_identity(
    options: PipelineConnection, surroundings: Surroundings, pool: Pool, audience: str
) -> PipelineIdentity | None:
    """Who may be vouched for here; None outside a pipeline, and where it is not set up for it.

    GitHub writes `audience` into the token; that of Azure Pipelines is always api://AzureADTokenExchange.
    """
    given = {name: value.get_secret_value() for name, value in surroundings.environment.items()}
    connection = options.azure_connection_id or given.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
    uri, access = given.get("SYSTEM_OIDCREQUESTURI"), given.get("SYSTEM_ACCESSTOKEN")
    if uri and access and connection:
        who = f"service connection {connection}"
        query = urlencode({"api-version": _API, "serviceConnectionId": connection})
        return PipelineIdentity(who, partial(_of_azure_pipelines, f"{uri}?{query}", access, who, pool))
    url, bearer = given.get("ACTIONS_ID_TOKEN_REQUEST_URL"), given.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url and bearer:
        token = GitHubToken(url, bearer, surroundings.network, audience, CODE)
        return PipelineIdentity("this job of GitHub Actions", token)
    return None


def _of_azure_pipelines(url: str, access: str, who: str, pool: Pool) -> str:
    headers = {
        "Accept": "application/json",
        "Authorization": f"Bearer {access}",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-TFS-FedAuthRedirect": "Suppress",
    }
    answer = send(pool, Question("POST", url, b"", headers), secrets=(access,))
    if isinstance(answer, Silence):
        raise _refused(who, f"no response: {answer.reason}")
    try:
        token = json.loads(answer.body)["oidcToken"]
    except (ValueError, RecursionError, TypeError, KeyError):
        token = None
    if answer.status != 200 or not isinstance(token, str) or not token:
        raise _refused(who, f"{status_text(answer.status)}: {one_line(answer.body.decode('utf-8', 'replace'))}")
    return token


def _refused(who: str, detail: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"Azure Pipelines gave no OIDC token for {who}: {detail}",
        code=CODE,
        remedy="Name an Azure RM service connection with workload identity federation that this pipeline may use.",
    )
