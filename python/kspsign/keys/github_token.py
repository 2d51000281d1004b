"""The token that GitHub gives a job, for workload identity federation (GitHub's pages on OpenID Connect)."""

from __future__ import annotations

import json
from urllib.parse import urlencode, urlsplit

import urllib3

from kspsign.model.errors import PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.exchange import Question, ask
from kspsign.network.failures import reason
from kspsign.network.pool import Pool

AUDIENCE = "api://AzureADTokenExchange"
_EXCHANGE_SECONDS = 30.0
_MAX_REPLY = 1 << 16


class GitHubToken:
    """Asks at `url` with the job's `bearer`; a token ends after minutes, and each sign-in asks for its own.

    `code` is the error's where GitHub gives none.
    """

    def __init__(
        self, url: str, bearer: str, network: NetworkOptions, audience: str = AUDIENCE, code: str = "AZURE_SIGN_IN"
    ) -> None:
        self._code = code
        self._url = f"{url}{'&' if '?' in url else '?'}{urlencode({'audience': audience})}"
        self._bearer, self._network = bearer, network

    def __call__(self) -> str:
        """The token. Raises PrerequisiteError when GitHub gives none."""
        pool = Pool(self._network, deadline=_EXCHANGE_SECONDS)
        headers = {"Authorization": f"Bearer {self._bearer}", "Accept": "application/json"}
        try:
            answer = ask(pool, Question("GET", self._url, None, headers), limit=_MAX_REPLY)
        except (urllib3.exceptions.HTTPError, ValueError) as broken:
            raise self._none(reason(broken)) from broken
        finally:
            pool.close()
        if answer.status != 200:
            raise self._none(f"HTTP {answer.status}")
        try:
            token = json.loads(answer.body)["value"]
        except (ValueError, KeyError, TypeError, RecursionError) as unusable:
            raise self._none("an answer without a token") from unusable
        return str(token)

    def _none(self, said: str) -> PrerequisiteError:
        return PrerequisiteError(
            f"GitHub ({urlsplit(self._url).hostname}) gave this job no token: {said}",
            code=self._code,
            remedy="Let the job ask for its token: permissions: { id-token: write, contents: read }; workflows of pull "
            "requests from forks never get one.",
        )
