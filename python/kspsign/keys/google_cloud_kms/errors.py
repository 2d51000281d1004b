"""What Google's refusals mean: google.rpc.Status of its services, OAuth errors of its sign-in, as errors with a remedy.

https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from kspsign.keys.rest import ServiceErrors, ServiceMeaning, one_line
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.exchange import HttpAnswer
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)


@dataclass(frozen=True, slots=True)
class GoogleRefusal:
    """The status (RESOURCE_EXHAUSTED; invalid_grant), "" where a body is not Google's; the reason of its ErrorInfo, and
    what it says."""

    status: str
    reason: str
    said: str


ACCOUNT: Final = ServiceMeaning(
    "GOOGLE_SIGN_IN",
    "Check where the credential comes from (kspsign doctor names it), that the service account and its key exist and "
    "are enabled, and the agent's clock.",
)
FEDERATION: Final = ServiceMeaning(
    "GOOGLE_SIGN_IN",
    "Check the workload identity provider: its issuer, its allowed audiences and its attribute condition must admit "
    "the pipeline's token, and --google-workload-provider must name it with the project's number.",
)
IMPERSONATION: Final = ServiceMeaning(
    "GOOGLE_SIGN_IN",
    "Give the pipeline's identity (principal://... of the workload identity pool) the role Workload Identity User on "
    "the service account.",
)
_FORBIDDEN: Final = ServiceMeaning(
    "GOOGLE_KMS_FORBIDDEN",
    "Give the identity the role Cloud KMS CryptoKey Signer/Verifier (roles/cloudkms.signerVerifier) on the key; to "
    "find versions and their state it needs Cloud KMS Viewer too, else name the version in --kms-key.",
)
_API_OFF: Final = ServiceMeaning(
    "GOOGLE_KMS_DISABLED", "Enable the Cloud Key Management Service API, and billing, in the project of the key."
)
_PERIMETER: Final = ServiceMeaning(
    "GOOGLE_KMS_FORBIDDEN",
    "Let the agent's network or identity into the service perimeter (VPC Service Controls), or run on an agent inside.",
)
_NOT_FOUND: Final = ServiceMeaning(
    "GOOGLE_KMS_NOT_FOUND",
    "Correct --kms-key: project, location, key ring, key and version are those in the console's resource name.",
)
_STATE: Final = ServiceMeaning(
    "GOOGLE_KMS_STATE", "Enable the key version in Google Cloud, or name another version in --kms-key."
)
_USAGE: Final = ServiceMeaning(
    "GOOGLE_KMS_USAGE", "Name a key with purpose ASYMMETRIC_SIGN, and the --digest that its algorithm has."
)
_BUSY: Final = ServiceMeaning(
    "GOOGLE_KMS_THROTTLED", "Lower --jobs, or have the project's quota for asymmetric requests raised in Google Cloud."
)
_UNAVAILABLE: Final = ServiceMeaning(
    "GOOGLE_KMS_UNAVAILABLE",
    "Look at status.cloud.google.com and run again: files that are signed already are skipped.",
)
_REFUSED: Final = ServiceMeaning("GOOGLE_KMS_REFUSED", "Look at Cloud Audit Logs of the key's project.")
_ELSEWHERE: Final = ServiceMeaning(
    "GOOGLE_KMS_ANSWER", "Check --kms-endpoint, and that no proxy or firewall answers in the service's place."
)
_UNREACHABLE: Final = ServiceMeaning(
    "GOOGLE_KMS_UNREACHABLE",
    "Check that the agent's firewall and proxy (HTTPS_PROXY) let port 443 of googleapis.com through, or name a private "
    "endpoint with --kms-endpoint; name the CA of a proxy that opens TLS with --ca-file.",
)
ERRORS: Final = ServiceErrors(
    "Google Cloud",
    _UNREACHABLE,
    _ELSEWHERE,
    "Run again to sign the file; Cloud Audit Logs show whether the key signed before.",
)
_BY_STATUS: Final = {
    "UNAUTHENTICATED": ACCOUNT,
    "PERMISSION_DENIED": _FORBIDDEN,
    "NOT_FOUND": _NOT_FOUND,
    "FAILED_PRECONDITION": _STATE,
    "INVALID_ARGUMENT": _USAGE,
    "RESOURCE_EXHAUSTED": _BUSY,
    "UNAVAILABLE": _UNAVAILABLE,
    "INTERNAL": _UNAVAILABLE,
    "DEADLINE_EXCEEDED": _UNAVAILABLE,
}
_BY_REASON: Final = {
    "SERVICE_DISABLED": _API_OFF,
    "BILLING_DISABLED": _API_OFF,
    "SECURITY_POLICY_VIOLATED": _PERIMETER,
    "ACCESS_TOKEN_EXPIRED": ACCOUNT,
}
BUSY: Final = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""Refused without acting on it: it may be asked again."""


def read_refusal(answer: HttpAnswer) -> GoogleRefusal:
    """What an answer that is not a success says."""
    text = answer.body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    found = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(found, dict):
        status, said = str(found.get("status") or found.get("code") or ""), str(found.get("message") or "")
        return GoogleRefusal(status, _reason(found.get("details")), one_line(said))
    if isinstance(found, str):
        return GoogleRefusal(found, "", one_line(str(parsed.get("error_description") or "")))
    return GoogleRefusal("", "", one_line(text))


def is_passing(answer: HttpAnswer) -> bool:
    """Whether asking again may help, where it is free."""
    return answer.status >= 500 or answer.status == 429


def refused(answer: HttpAnswer, asked: str, error_class: type[_ErrorT]) -> _ErrorT:
    """The error for a refusal of what was `asked` of Cloud KMS."""
    refusal = read_refusal(answer)
    found = _BY_REASON.get(refusal.reason) or _BY_STATUS.get(refusal.status)
    if found is None and not refusal.status:
        found = _UNAVAILABLE if answer.status >= 500 else _ELSEWHERE
    return _error(answer, refusal, asked, found or _REFUSED, error_class)


def no_sign_in(answer: HttpAnswer, asked: str, step: ServiceMeaning) -> PrerequisiteError:
    """The error for a refusal of this step of Google's sign-in: a token that was `asked` for."""
    refusal, meaning = read_refusal(answer), step
    if not refusal.status:
        meaning = _UNAVAILABLE if answer.status >= 500 else _ELSEWHERE
    return _error(answer, refusal, asked, meaning, PrerequisiteError)


def no_credential(who: str, detail: str) -> PrerequisiteError:
    """The error where there is no token from `who`, and why."""
    return PrerequisiteError(
        f"there is no sign-in to Google Cloud by {who}: {detail}",
        code=ACCOUNT.code,
        remedy="Name a credential file with --google-credentials, a provider that trusts the pipeline with "
        "--google-workload-provider, or give the agent's machine a service account.",
    )


def _error(
    answer: HttpAnswer, refusal: GoogleRefusal, asked: str, meaning: ServiceMeaning, error_class: type[_ErrorT]
) -> _ErrorT:
    said = ": ".join(filter(None, (refusal.status, refusal.said)))
    message = f"Google Cloud refused {asked}: {status_text(answer.status)}" + (f": {said}" if said else " (empty body)")
    return error_class(message, code=meaning.code, remedy=meaning.remedy)


def _reason(details: Any) -> str:
    """The reason of the ErrorInfo among the details, if there is one."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("reason"), str):
            return str(detail["reason"])
    return ""
