"""The OIDC token by which a pipeline vouches for the job: Azure Pipelines' (of a service connection), or GitHub's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from kspsign.keys.options import PipelineConnection
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import USER_AGENT, Silence, one_line, send
from kspsign.model.errors import PrerequisiteError
from kspsign.network.exchange import Question
from kspsign.network.failures import status_text
from kspsign.network.pool import Pool

_API = "7.1"


@dataclass(frozen=True, slots=True)
class PipelineIdentity:
    """Whom the pipeline vouches for, in words, and the request that gets a token of it."""

    who: str
    question: Question
    field: str
    secret: str

    def token(self, pool: Pool) -> str:
        """A new token. Raises PrerequisiteError when the pipeline's server gives none."""
        answer = send(pool, self.question, secrets=(self.secret,))
        if isinstance(answer, Silence):
            raise self._refused(f"it did not respond: {answer.reason}")
        try:
            content = json.loads(answer.body)
            token = content[self.field]
        except (ValueError, RecursionError, TypeError, KeyError):
            token = None
        if answer.status != 200 or not isinstance(token, str) or not token:
            raise self._refused(f"{status_text(answer.status)}: {one_line(answer.body.decode('utf-8', 'replace'))}")
        return token

    def _refused(self, detail: str) -> PrerequisiteError:
        return PrerequisiteError(
            f"the pipeline's server gave no OIDC token for {self.who}: {detail}",
            code="OIDC_TOKEN",
            remedy="Azure Pipelines: name a service connection with workload identity federation that this pipeline "
            "may use. GitHub Actions: give the job `permissions: id-token: write`.",
        )


def pipeline_identity(
    options: PipelineConnection, surroundings: Surroundings, audience: str
) -> PipelineIdentity | None:
    """Who may be vouched for here; None outside a pipeline, and where it is not set up for it.

    GitHub writes `audience` into the token; that of Azure Pipelines is always api://AzureADTokenExchange.
    """
    given = {name: value.get_secret_value() for name, value in surroundings.environment.items()}
    connection = options.azure_connection_id or given.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
    uri, access = given.get("SYSTEM_OIDCREQUESTURI"), given.get("SYSTEM_ACCESSTOKEN")
    if uri and access and connection:
        query = urlencode({"api-version": _API, "serviceConnectionId": connection})
        headers = {**_headers(access), "Content-Type": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}
        return PipelineIdentity(
            f"service connection {connection}", Question("POST", f"{uri}?{query}", b"", headers), "oidcToken", access
        )
    url, bearer = given.get("ACTIONS_ID_TOKEN_REQUEST_URL"), given.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url and bearer:
        separator = "&" if "?" in url else "?"
        question = Question("GET", f"{url}{separator}audience={quote(audience, safe='')}", None, _headers(bearer))
        return PipelineIdentity("this job of GitHub Actions", question, "value", bearer)
    return None


def _headers(token: str) -> dict[str, str]:
    return {"Accept": "application/json", "Authorization": f"Bearer {token}", "User-Agent": USER_AGENT}
