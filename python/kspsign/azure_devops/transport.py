"""The HTTP transport of the azure-devops package: one host, bounded retries, no sign-in pages.

The package's own retries know neither 429 nor Retry-After, and with current urllib3 none for POST and PATCH.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from msrest.authentication import BasicTokenAuthentication
from msrest.exceptions import ClientRequestError
from msrest.pipeline import HTTPPolicy, Pipeline, Request, Response
from msrest.pipeline.requests import PipelineRequestsHTTPSender, RequestsCredentialsPolicy
from msrest.universal_http import ClientRequest, ClientResponse
from msrest.universal_http.requests import BasicRequestsHTTPSender
from pydantic import SecretStr

from kspsign.azure_devops.errors import (
    BUSY,
    FORBIDDEN,
    FOREIGN_HOST,
    NOT_FOUND,
    PRIVATE_CA,
    REFUSED,
    SIGN_IN,
    UNREACHABLE,
    problem,
)
from kspsign.model.errors import CancelledError, ConfigurationError
from kspsign.network.retry import backoff, retry_after_seconds
from kspsign.network.trace import numbered

ATTEMPTS = 4
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
CONNECT_SECONDS, READ_SECONDS = 10, 60

_JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_IDEMPOTENT = frozenset({"GET", "OPTIONS", "PUT", "PATCH", "DELETE"})
"""PATCH too: ours set a property or a state, twice is as once."""


def open_pipeline(
    session: requests.Session, collection: str, token: SecretStr, pause: Callable[[float], bool]
) -> Pipeline[Any, Any]:
    """The session that the package's clients send their requests through, in place of their own."""
    credentials = RequestsCredentialsPolicy(_Authorization(token))  # type: ignore[no-untyped-call]  # as msrest has it
    return Pipeline([Guard(collection, pause), credentials], PipelineRequestsHTTPSender(_Sender(session)))


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of `url`. Raises ConfigurationError when it is not a plain http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError) as broken:
        raise _no_url(url) from broken
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise _no_url(url)
    return parts.scheme, parts.hostname.lower(), port


class Guard(HTTPPolicy):  # type: ignore[type-arg]  # a generic of comments only
    """Lets requests out to the collection's host alone, tries again where it makes sense, and names each failure."""

    def __init__(self, collection: str, pause: Callable[[float], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as msrest has it
        self._origin = origin(collection)
        self._pause = pause

    def send(self, request: Request[Any], **kwargs: Any) -> Response[Any, Any]:
        """The answer of the server, if it is a good one; see `codes` for the rest."""
        url = urlsplit(request.http_request.url)._replace(query="").geturl()
        if origin(url) != self._origin:
            raise problem(FOREIGN_HOST, f"refusing to send the token to {urlsplit(url).netloc}")
        method = request.http_request.method
        attempt = 1
        while True:
            try:
                with numbered(attempt):
                    response: Response[Any, Any] = self.next.send(request, **kwargs)  # type: ignore[union-attr]  # set
            except ClientRequestError as broken:
                untrusted = type(broken.inner_exception) is requests.exceptions.SSLError
                remedy = PRIVATE_CA if untrusted else None
                fault = problem(UNREACHABLE, f"no answer from {url} ({_reason(broken)})", remedy=remedy)
                if attempt == ATTEMPTS or method not in _IDEMPOTENT:
                    raise fault from broken
                delay = None
            else:
                answer: requests.Response = response.http_response.internal_response
                if answer.status_code not in _TRANSIENT:
                    _require_good(answer, url)
                    return response
                answer.close()
                # 429 was turned away before anything was done: that is safe to send again, whatever it is.
                if attempt == ATTEMPTS or not (method in _IDEMPOTENT or answer.status_code == 429):
                    raise problem(BUSY, f"HTTP {answer.status_code} from {url}")
                delay = retry_after_seconds(answer.headers.get("Retry-After"))
            if self._pause(min(delay or backoff(attempt, FIRST_PAUSE), LONGEST_PAUSE)):
                raise CancelledError
            attempt += 1


class _Sender(BasicRequestsHTTPSender):
    """Sends once, and follows no redirect: that would carry the token along."""

    def send(self, request: ClientRequest, **_kwargs: Any) -> ClientResponse:
        return super().send(
            request,
            headers=request.headers,
            data=request.data,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        )


class _Authorization(BasicTokenAuthentication):
    """The token as the session's own authentication: as a mere header a .netrc entry for the host would replace it.

    A job's access token and one of Entra ID (JSON Web Tokens, RFC 7519) go as Bearer; a personal access token, which is
    opaque, as the password of no user: as Bearer it is answered with a sign-in page.
    """

    def __init__(self, token: SecretStr) -> None:
        """Raises ConfigurationError for a text that no header can carry, such as one of two lines."""
        value = token.get_secret_value()
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ConfigurationError(
                "the token for Azure DevOps holds a line break, a blank or another character that no token has",
                remedy="Map the token itself into the step (env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }), "
                "without quotes, and with nothing before or after it.",
            )
        super().__init__({"access_token": value})

    def signed_session(self, session: requests.Session | None = None) -> requests.Session:
        signed = super().signed_session(session)
        signed.auth = self._add
        return signed

    def _add(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        value = self.token["access_token"]
        basic = base64.b64encode(f":{value}".encode()).decode("ascii")
        request.headers["Authorization"] = f"Bearer {value}" if _JSON_WEB_TOKEN.fullmatch(value) else f"Basic {basic}"
        return request


def _require_good(answer: requests.Response, url: str) -> None:
    status = answer.status_code
    html = answer.headers.get("Content-Type", "").lower().startswith("text/html")
    # An invalid token is answered with a sign-in page (203 or a redirect) as often as with 401.
    if status in (203, 401) or 300 <= status < 400 or (html and 200 <= status < 300):
        answer.close()
        raise problem(SIGN_IN, f"the token was rejected (HTTP {status} from {url})")
    if status >= 400:
        code = {403: FORBIDDEN, 404: NOT_FOUND}.get(status, REFUSED)
        raise problem(code, f"HTTP {status} from {url}{_said(answer)}")


def _said(answer: requests.Response) -> str:
    """The server's message, in its exception format: {"message": ...}."""
    try:
        content = answer.json()
    except ValueError:
        return ""
    message = content.get("message") if isinstance(content, dict) else None
    return f": {message[:300]}" if isinstance(message, str) else ""


def _reason(error: ClientRequestError) -> str:
    inner = error.inner_exception
    return {
        requests.exceptions.ConnectTimeout: "timed out",
        requests.exceptions.ReadTimeout: "timed out",
        requests.exceptions.SSLError: "the server's certificate was rejected",
        requests.exceptions.ProxyError: "the proxy rejected it",
    }.get(type(inner), "connection failed")


def _no_url(url: str) -> ConfigurationError:
    shown = url.rpartition("@")[2]
    return ConfigurationError(
        f"{shown!r} is not a URL of a collection",
        remedy="Name it as in the browser: https://dev.azure.com/ORGANISATION, without user, query or fragment.",
    )
