"""Maps DigiCert ONE's error responses, in three formats or unknown ones, to our errors with a remedy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.failures import status_text

Kind = type[PrerequisiteError] | type[SigningError]
_MAX_SHOWN = 400
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Meaning:
    """Our code for a refusal and what to do about it."""

    code: str
    remedy: str


_BY_WORDS: tuple[tuple[re.Pattern[str], Meaning], ...] = (
    (
        re.compile("multi-factor|client authentication certificate"),
        Meaning(
            "CLIENT_CERTIFICATE_NOT_SEEN",
            "Set SM_HOST to a clientauth host (https://clientauth.one.digicert.com or your region's), exempt it from "
            "TLS inspection: the client certificate of SM_CLIENT_CERT_FILE did not arrive.",
        ),
    ),
    (
        re.compile("not the signer"),
        Meaning(
            "NOT_THE_SIGNER",
            "Use the API key of the certificate's signer, or have a KeyLocker lead assign this user as the signer.",
        ),
    ),
    (
        re.compile("cannot access this keypair|keypair is restricted|restricted to a (?:team|user)"),
        Meaning("KEYPAIR_RESTRICTED", "Have the key pair's owner add this user or its team in DigiCert ONE."),
    ),
    (
        re.compile(r"\boffline\b"),
        Meaning("KEYPAIR_OFFLINE", "Bring the key pair online in DigiCert ONE, or sign inside its release window."),
    ),
    (
        re.compile(r"quota|signatures? (?:limit|count|allowance)|no signatures? (?:left|remaining)"),
        Meaning(
            "QUOTA_USED_UP",
            "Buy more signatures for the certificate; --skip-signed and signing only releases saves signatures.",
        ),
    ),
    (
        re.compile("revoked"),
        Meaning("CERTIFICATE_REVOKED", "Have the certificate issued again, run certsync, and sign with the new one."),
    ),
)
_BY_STATUS: dict[int, Meaning] = {
    401: Meaning(
        "API_KEY_REFUSED",
        "Check that SM_API_KEY has not expired and was created on the host in SM_HOST; create a new one if necessary.",
    ),
    403: Meaning(
        "ACCESS_DENIED",
        "Check the user's permissions (SIGN_SM_HASH) and the client certificate's expiry in DigiCert ONE; its log of "
        "signatures names the rule.",
    ),
    404: Meaning("KEYLOCKER_NOT_FOUND", "Run kspsign certsync again; check that SM_HOST is the host of the account."),
    429: Meaning("KEYLOCKER_THROTTLED", "Lower --jobs, and don't start many signing jobs at once with one API key."),
}
_UNAVAILABLE = Meaning(
    "KEYLOCKER_UNAVAILABLE", "Look at status.digicert.com and run again: files that are signed already are skipped."
)
_REFUSED = Meaning("KEYLOCKER_REFUSED", "Check alias, digest and key type against the account in DigiCert ONE.")
_ELSEWHERE = Meaning(
    "KEYLOCKER_ANSWER",
    "Check that SM_HOST is a clientauth host of DigiCert ONE and that no proxy answers instead of it.",
)


def refusal(
    status: int, body: bytes, *, error_class: Kind, asked: str, extra: str = ""
) -> PrerequisiteError | SigningError:
    """The error for an answer with this HTTP status to what was `asked`."""
    said = said_by(body)
    meaning = _meaning(status, said.casefold())
    message = f"DigiCert ONE refuses {asked}: {status_text(status)}"
    message += f": {said}" if said else ""
    return error_class(message + extra, code=meaning.code, remedy=meaning.remedy)


def unusable(asked: str, detail: str) -> PrerequisiteError:
    """The error for an answer that is none of DigiCert ONE's."""
    return PrerequisiteError(
        f"the answer to {asked} is not a valid DigiCert ONE response: {detail}",
        code=_ELSEWHERE.code,
        remedy=_ELSEWHERE.remedy,
    )


def said_by(body: bytes) -> str:
    """The message in an error's body, on one line: in any of the three formats, else the beginning of the text."""
    text = body.decode("utf-8", errors="replace")
    try:
        parts = _parts(json.loads(text))
    except (ValueError, RecursionError):
        parts = []
    line = _BLANKS.sub(" ", ": ".join(parts) or re.sub(r"<[^>]{0,2000}>", " ", text)).strip()
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}..."


def _parts(parsed: Any) -> list[str]:
    if not isinstance(parsed, dict):
        return []
    listed, error = parsed.get("errors"), parsed.get("error")
    if isinstance(listed, list):
        return [part for item in listed if isinstance(item, dict) for part in _texts(item, "code", "message")]
    if isinstance(error, dict):
        return _texts(error, "status", "code", "message")
    return _texts(parsed, "error", "message")


def _texts(mapping: dict[str, Any], *names: str) -> list[str]:
    return [value for name in names if isinstance(value := mapping.get(name), str) and value]


def _meaning(status: int, said: str) -> Meaning:
    if status < 400:
        return _ELSEWHERE
    if status < 500 and status != 429:
        found = next((meaning for words, meaning in _BY_WORDS if words.search(said)), None)
        if found is not None and status != 401:
            return found
    return _BY_STATUS.get(status, _UNAVAILABLE if status >= 500 else _REFUSED)
