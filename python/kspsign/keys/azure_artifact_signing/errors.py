"""What Artifact Signing's refusals mean: five shapes of error bodies, and what is none, as errors with a remedy."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, TypeVar

from kspsign.keys.rest import ServiceErrors, ServiceMeaning, one_line
from kspsign.model.errors import LostSignatureError, PrerequisiteError, SigningError
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_NO_TENANT = re.compile("tenantid is null", re.IGNORECASE)


class UnusableAnswerError(Exception):
    """An answer that is not the service's; the text says why."""


_SIGN_IN = ServiceMeaning(
    "ARTIFACT_SIGNING_TOKEN",
    "Sign in to the tenant that the signing account belongs to: check --azure-credential and --azure-tenant-id, and "
    "the agent's clock.",
)
_FORBIDDEN = ServiceMeaning(
    "ARTIFACT_SIGNING_FORBIDDEN",
    "Check in this order: the endpoint is that of the account's region; the identity has the role Artifact Signing "
    "Certificate Profile Signer on the account or profile (a new assignment takes minutes); the profile is Active, its "
    "identity validation has not expired, and the subscription is not disabled.",
)
_UNKNOWN = ServiceMeaning(
    "ARTIFACT_SIGNING_NOT_FOUND",
    "Copy --signing-account and --certificate-profile from the Azure portal, capitals included; the endpoint must be "
    "that of the account's region.",
)
_REFUSED = ServiceMeaning(
    "ARTIFACT_SIGNING_REFUSED",
    "Check digest and profile: the profile's key must be one that signs with --digest. The account's log in Azure "
    "Monitor has more.",
)
_UNAVAILABLE = ServiceMeaning(
    "ARTIFACT_SIGNING_UNAVAILABLE",
    "Look at azure.status.microsoft and run again: files that are signed already are skipped.",
)
_THROTTLED = ServiceMeaning(
    "ARTIFACT_SIGNING_THROTTLED", "Lower --jobs, and don't start many signing jobs at once with one account."
)
_ELSEWHERE = ServiceMeaning(
    "ARTIFACT_SIGNING_ANSWER",
    "Check --signing-endpoint, and that no proxy or firewall answers in the service's place.",
)
_FAILED = ServiceMeaning(
    "ARTIFACT_SIGNING_FAILED",
    "Look at the account in the Azure portal: its identity validation may have expired, its certificate may have been "
    "revoked, or its subscription may be past due.",
)
ERRORS = ServiceErrors(
    "Azure Artifact Signing",
    ServiceMeaning(
        "ARTIFACT_SIGNING_UNREACHABLE",
        "Check --signing-endpoint, and that the agent's firewall and proxy (HTTPS_PROXY) let port 443 of it "
        "through; name the CA of a proxy that opens TLS with --ca-file.",
    ),
    _ELSEWHERE,
    "Check the signing account's log before you count signatures; run again to sign the file, which requests another "
    "one.",
)
_BY_STATUS = {401: _SIGN_IN, 403: _FORBIDDEN, 404: _UNKNOWN, 429: _THROTTLED}


def refusal(status: int, body: bytes, *, error_class: type[_ErrorT], asked: str, extra: str = "") -> _ErrorT:
    """The error for an answer with this HTTP status to what was `asked`."""
    said = said_by(body)
    meaning = _meaning(status, said)
    message = f"Azure Artifact Signing refused {asked}: {status_text(status)}"
    message += f": {said}" if said else " (empty body)"
    return error_class(message + extra, code=meaning.code, remedy=meaning.remedy)


def failed_text(asked: str, status: str, said: str) -> str:
    """What to say of an operation that ended without a signature."""
    return f"Azure Artifact Signing did not complete {asked}: {status}" + (f": {said}" if said else "")


FAILED_CODE, FAILED_REMEDY = _FAILED.code, _FAILED.remedy


def pending(asked: str, reason: str, *, timed_out: bool = False) -> LostSignatureError:
    """The error for a signature whose operation is known, and which could not be fetched."""
    return LostSignatureError(
        f"{asked} is paid for and could not be fetched ({reason})",
        code="SIGNATURE_PENDING",
        remedy="Run again with the same --store or --journal: the signature is fetched then, at no further cost.",
        timed_out=timed_out,
    )


def said_by(body: bytes) -> str:
    """What an error's body says, on one line: errorDetail, error, problem details (RFC 9457), HTML, or nothing."""
    text = body.decode("utf-8", errors="replace")
    try:
        parts = _parts(json.loads(text))
    except (ValueError, RecursionError):
        parts = []
    return one_line(": ".join(parts) or text)


def _parts(parsed: Any) -> list[str]:
    if not isinstance(parsed, dict):
        return []
    for name in ("errorDetail", "error"):
        if isinstance(inside := parsed.get(name), dict):
            return [*_texts(inside, "code", "message"), *_listed(inside.get("details"))]
    return [*_texts(parsed, "error", "title", "detail", "message"), *_fields(parsed.get("errors"))]


def _fields(errors: Any) -> list[str]:
    """Each field of a request with what is wrong with it."""
    found = errors.items() if isinstance(errors, dict) else ()
    return [f"{field} ({' '.join(map(str, said))})" for field, said in found if isinstance(said, list)]


def _listed(details: Any) -> list[str]:
    found = details if isinstance(details, list) else []
    return [text for part in found if isinstance(part, dict) for text in _texts(part, "code", "message")]


def _texts(mapping: dict[str, Any], *names: str) -> list[str]:
    return [value for name in names if isinstance(value := mapping.get(name), str) and value]


def _meaning(status: int, said: str) -> ServiceMeaning:
    if status < 400:
        return _ELSEWHERE
    if _NO_TENANT.search(said):
        return _SIGN_IN  # a 500, for a token that is not Entra's for this resource
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and "(forbidden)" in said.casefold():
        return _UNKNOWN
    return _BY_STATUS.get(status, _UNAVAILABLE if status >= 500 else _REFUSED)
