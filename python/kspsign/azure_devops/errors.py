"""The failures of calls to Azure DevOps, each with its code and remedy."""

from __future__ import annotations

from kspsign.model.errors import PrerequisiteError

SIGN_IN = "AZURE_DEVOPS_SIGN_IN"
FORBIDDEN = "AZURE_DEVOPS_FORBIDDEN"
NOT_FOUND = "AZURE_DEVOPS_NOT_FOUND"
BUSY = "AZURE_DEVOPS_BUSY"
UNREACHABLE = "AZURE_DEVOPS_UNREACHABLE"
REFUSED = "AZURE_DEVOPS_REFUSED"
UNEXPECTED = "AZURE_DEVOPS_UNEXPECTED"
FOREIGN_HOST = "AZURE_DEVOPS_FOREIGN_HOST"

TRANSIENT = frozenset({BUSY, UNREACHABLE})
"""Failures that may be gone a minute later."""

_REMEDIES = {
    SIGN_IN: "Map a valid token into the step: env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }; a personal access "
    "token may have expired.",
    FORBIDDEN: "Give the pipeline's build service identity the right (view builds; to publish: manage test runs, "
    "edit build quality), or limit the job authorization scope less.",
    NOT_FOUND: "Check --collection, --project and --build-id, and that the token may see that project.",
    BUSY: "Run it again later; Azure DevOps is throttling or unavailable.",
    UNREACHABLE: "Check --collection, the proxy (HTTPS_PROXY, NO_PROXY) and the firewall of this machine.",
    REFUSED: "Read the server's message; check the token's rights in the project.",
    UNEXPECTED: "Check that --collection names an Azure DevOps collection, such as https://dev.azure.com/ORGANISATION.",
    FOREIGN_HOST: "The token is sent to the collection's host only; name that host with --collection.",
}


PRIVATE_CA = (
    "Name the CA of the server, or of a proxy that inspects TLS, with --ca-file (PEM); the system's are trusted too."
)


def problem(code: str, message: str, *, remedy: str | None = None) -> PrerequisiteError:
    """The error of `code`, with its remedy unless the cause has a `remedy` of its own."""
    return PrerequisiteError(f"Azure DevOps: {message}", code=code, remedy=remedy or _REMEDIES[code])
