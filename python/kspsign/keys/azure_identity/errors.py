"""What a refused sign-in to Azure means and what to do."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3
from azure.core.exceptions import AzureError, ClientAuthenticationError

from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.failures import reason

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_LONGEST = 600
_NO_CONNECTION = re.compile(
    "max retries exceeded|certificate_verify_failed|unable to connect to proxy|connection (?:refused|reset|aborted)"
    "|failed to (?:resolve|establish)|timed out",
    re.IGNORECASE,
)


def said_by_client(refused: AzureError) -> str:
    """What a client of Azure's says, on one line; of a connection that failed, why."""
    parts = getattr(refused.inner_exception, "args", ())
    broken = next((part for part in parts if isinstance(part, urllib3.exceptions.HTTPError)), None)
    if broken is not None:
        return reason(broken)
    return " ".join(str(refused.message or refused).split())[:_LONGEST]


def no_connection(broken: AzureError, error_class: type[_ErrorT]) -> _ErrorT:
    """The error, of class `error_class`, for a sign-in without an answer."""
    return error_class(
        f"the sign-in to Azure can't be reached: {said_by_client(broken)}",
        code="AZURE_SIGN_IN",
        remedy="Let the agent reach login.microsoftonline.com, through HTTPS_PROXY where there is a proxy; name the CA "
        "of one that opens TLS with --ca-file.",
    )


def no_sign_in(refused: ClientAuthenticationError, error_class: type[_ErrorT]) -> _ErrorT:
    """The error, of class `error_class`, for a sign-in that Entra or the pipeline's token service refused."""
    url = urlsplit(str(getattr(getattr(refused.response, "request", None), "url", "")))
    if url.path.endswith("/oidctoken"):
        # The client words this answer by Microsoft's error shape, which it does not have.
        return error_class(
            f"{url.hostname} returned no token for the service connection (HTTP {refused.status_code})",
            code="AZURE_SIGN_IN",
            remedy="Check the connection's id, that this pipeline may use it and a task of this job names it in an "
            "input, and map SYSTEM_ACCESSTOKEN: $(System.AccessToken) into the step.",
        )
    if refused.response is None and _NO_CONNECTION.search(str(refused.message or refused)):
        return no_connection(refused, error_class)  # the client calls that a failed authentication too
    return error_class(
        f"the sign-in to Azure failed: {said_by_client(refused)}",
        code="AZURE_SIGN_IN",
        remedy="Check --azure-credential, tenant and client id, and that secret, token or federated credential is "
        "current and mapped into this step.",
    )
