"""What eSigner's refusals mean, as errors with a remedy. Bodies are {"error", "error_description"} (CSC API §10.1;
RFC 6749 §5.2 at the token's endpoint), or not eSigner's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

from kspsign.keys.rest import ServiceErrors, ServiceMeaning, one_line
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.exchange import HttpAnswer
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)


@dataclass(frozen=True, slots=True)
class ESignerRefusal:
    """`error` is the code (invalid_request, invalid_grant), "" where a body is not eSigner's; `said` is the rest."""

    error: str
    said: str


SIGN_IN: Final = ServiceMeaning(
    "ESIGNER_SIGN_IN",
    "Correct ESIGNER_USERNAME and ESIGNER_PASSWORD (they are the SSL.com account's), and --esigner-environment: the "
    "sandbox has accounts of its own. It is not tried again in this run, so that the account is not locked.",
)
OTP: Final = ServiceMeaning(
    "ESIGNER_OTP",
    "Correct ESIGNER_TOTP_SECRET: it belongs to one certificate order and user, and a new QR code replaces it. A "
    "password that another machine used in the same 30 seconds is refused too. It is not tried again in this run, so "
    "that the credential is not locked.",
)
_CLIENT: Final = ServiceMeaning("ESIGNER_CLIENT", "Correct --esigner-client-id, or leave it out.")
_LOCKED: Final = ServiceMeaning(
    "ESIGNER_LOCKED", "Have the account or credential unlocked at SSL.com, and correct the secret that locked it first."
)
CREDENTIAL: Final = ServiceMeaning(
    "ESIGNER_CREDENTIAL",
    "Correct --keypair-alias: the credential ID that SSL.com shows at the certificate's order, or leave it out where "
    "the account has one credential.",
)
_DISABLED: Final = ServiceMeaning(
    "ESIGNER_DISABLED",
    "Enable the signing credential at the certificate's order at SSL.com; check --esigner-environment as well.",
)
QUOTA: Final = ServiceMeaning(
    "ESIGNER_QUOTA", "Look at the signings left in the SSL.com account, and buy more or wait for the next period."
)
SCAN: Final = ServiceMeaning(
    "ESIGNER_SCAN",
    "Sign it as a file of its own (a part of a bundle has no hash that eSigner scans), or have malware scan switched "
    "off for the credential at SSL.com (Signing credentials).",
)
MALWARE: Final = ServiceMeaning(
    "ESIGNER_MALWARE",
    "Have the file examined; if it is clean, ask SSL.com's support, or have the scan switched off for the credential.",
)
_FORBIDDEN: Final = ServiceMeaning(
    "ESIGNER_FORBIDDEN", "Have this user made a signer of the credential at the certificate's order at SSL.com."
)
_REFUSED: Final = ServiceMeaning(
    "ESIGNER_REFUSED", "Correct what the message names; SSL.com's support can look the request up by its time."
)
_THROTTLED: Final = ServiceMeaning("ESIGNER_THROTTLED", "Start fewer signing jobs at once with one account.")
_UNAVAILABLE: Final = ServiceMeaning(
    "ESIGNER_UNAVAILABLE", "Look at SSL.com's status page and run again: files that are signed already are skipped."
)
ANSWER: Final = ServiceMeaning(
    "ESIGNER_ANSWER", "Check that no proxy or firewall answers in the place of ssl.com; run again."
)
UNREACHABLE: Final = ServiceMeaning(
    "ESIGNER_UNREACHABLE",
    "Check that the agent's firewall and proxy (HTTPS_PROXY) let port 443 of login.ssl.com and cs.ssl.com through "
    "(oauth-sandbox.ssl.com and cs-try.ssl.com for the sandbox); name the CA of a proxy that opens TLS with --ca-file.",
)
ERRORS: Final = ServiceErrors(
    "SSL.com's eSigner",
    UNREACHABLE,
    ANSWER,
    "Compare the signings of the SSL.com account before you count signatures; run again to sign the files, which "
    "requests others.",
)
ONCE: Final = frozenset({SIGN_IN.code, OTP.code, _CLIENT.code, _LOCKED.code})
"""Refusals after which a run asks no more: another try may lock the account."""
_BY_TEXT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"\block(?:ed|out)\b|too many (?:failed )?attempts", _LOCKED),
        (r"\botp\b|one.time password|\bpin\b", OTP),
        (r"scanned first|needs to be scanned", SCAN),
        (r"malware|virus|infected", MALWARE),
        (r"key status|is (?:disabled|suspended|revoked)", _DISABLED),
        (r"quota|signings?\b.{0,40}(?:exceed|limit|remain|left|exhaust)|limit.{0,20}exceed|exceed.{0,20}limit", QUOTA),
        (r"credential_?id|credential.{0,20}(?:not found|unknown|invalid)", CREDENTIAL),
    )
)
_BY_ERROR: Final = {
    "invalid_otp": OTP,
    "invalid_pin": OTP,
    "invalid_grant": SIGN_IN,
    "invalid_client": _CLIENT,
    "unauthorized_client": _CLIENT,
    "invalid_token": SIGN_IN,
    "unauthorized": SIGN_IN,
    "access_denied": _FORBIDDEN,
    "server_error": _UNAVAILABLE,
    "temporarily_unavailable": _UNAVAILABLE,
}


def read_refusal(answer: HttpAnswer) -> ESignerRefusal:
    """What an answer that is not a success says."""
    text = answer.body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, str) and error:
        return ESignerRefusal(error, one_line(str(parsed.get("error_description") or "")))
    return ESignerRefusal("", one_line(text))


def meaning_of(answer: HttpAnswer) -> ServiceMeaning:
    """What it means, by what is said first, then by its code, then by its status."""
    refusal = read_refusal(answer)
    if refusal.error:
        found = next((meaning for pattern, meaning in _BY_TEXT if pattern.search(refusal.said)), None)
        if found is not None or refusal.error in _BY_ERROR:
            return found or _BY_ERROR[refusal.error]
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _THROTTLED
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _UNAVAILABLE
    if not refusal.error:
        return ANSWER
    return SIGN_IN if answer.status == HTTPStatus.UNAUTHORIZED else _REFUSED


def refused(answer: HttpAnswer, asked: str, error_class: type[_ErrorT], extra: str = "") -> _ErrorT:
    """The error for a refusal of what was `asked`."""
    refusal, meaning = read_refusal(answer), meaning_of(answer)
    said = ": ".join(filter(None, (refusal.error, refusal.said))) or "empty body"
    message = f"eSigner refused {asked}: {status_text(answer.status)}: {said}{extra}"
    return error_class(message, code=meaning.code, remedy=meaning.remedy)
