"""What SignServer's refusals mean, as errors with a remedy. Bodies are {"error": TEXT}, or not SignServer's.

Statuses as its REST interface documents them: 400 and 401 for a request or client that is refused, 403, 404 for an
unknown worker, 500, and 503 for a crypto token that is not available.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Final, TypeVar

from kspsign.keys.rest import ServiceErrors, ServiceMeaning, one_line
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.exchange import HttpAnswer
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)

SIGN_IN: Final = ServiceMeaning(
    "SIGNSERVER_SIGN_IN",
    "Give what the worker's AUTHTYPE asks for: SIGNSERVER_USERNAME and SIGNSERVER_PASSWORD, SIGNSERVER_TOKEN, or "
    "SIGNSERVER_CLIENT_CERT_FILE; correct a login that is refused.",
)
_FORBIDDEN: Final = ServiceMeaning(
    "SIGNSERVER_FORBIDDEN",
    "Have this client added to the worker's authorized clients in SignServer (its client certificate, user or "
    "address).",
)
NOT_FOUND: Final = ServiceMeaning(
    "SIGNSERVER_NOT_FOUND",
    "Correct --keypair-alias: the worker's name or id as SignServer's administration shows it; case matters.",
)
_HASHING: Final = ServiceMeaning(
    "SIGNSERVER_HASHING",
    "Set CLIENTSIDEHASHING=true (or ALLOW_CLIENTSIDEHASHING_OVERRIDE=true) for the worker, with "
    "ACCEPTED_HASH_DIGEST_ALGORITHMS=SHA-256,SHA-384,SHA-512, and reload it.",
)
_DIGEST: Final = ServiceMeaning(
    "SIGNSERVER_DIGEST",
    "Add the digest to the worker's ACCEPTED_HASH_DIGEST_ALGORITHMS, or sign with one that is there (--digest).",
)
ALGORITHM: Final = ServiceMeaning(
    "SIGNSERVER_ALGORITHM",
    "Set SIGNATUREALGORITHM=NONEwithRSA (NONEwithECDSA for an EC key) for the worker and reload it: with client-side "
    "hashing any other algorithm hashes the hash, or pads it as Authenticode does not read.",
)
_DISABLED: Final = ServiceMeaning("SIGNSERVER_DISABLED", "Enable the worker (DISABLED=false), or name another one.")
_LIMIT: Final = ServiceMeaning(
    "SIGNSERVER_LIMIT", "Raise the worker's KEYUSAGELIMIT, renew its key, or have more signatures granted."
)
_CERTIFICATE: Final = ServiceMeaning(
    "SIGNSERVER_CERTIFICATE", "Renew the worker's certificate in SignServer, then update the file of --certificate."
)
_OFFLINE: Final = ServiceMeaning(
    "SIGNSERVER_OFFLINE", "Activate the worker's crypto token in SignServer, and check that its HSM is reachable."
)
_MISCONFIGURED: Final = ServiceMeaning(
    "SIGNSERVER_MISCONFIGURED",
    "Look at the worker's status page in SignServer's administration: it lists what is wrong with its configuration.",
)
_REFUSED: Final = ServiceMeaning(
    "SIGNSERVER_REFUSED", "Look for the request in SignServer's log; the worker refused it."
)
_THROTTLED: Final = ServiceMeaning(
    "SIGNSERVER_THROTTLED", "Lower --jobs, or have the rate limit before SignServer raised."
)
_UNAVAILABLE: Final = ServiceMeaning(
    "SIGNSERVER_UNAVAILABLE", "Look at SignServer's health check and log, then run again: signed files are skipped."
)
ANSWER: Final = ServiceMeaning(
    "SIGNSERVER_ANSWER",
    "Check --signserver-url (https://HOST/signserver), and that no proxy or portal answers in SignServer's place.",
)
UNREACHABLE: Final = ServiceMeaning(
    "SIGNSERVER_UNREACHABLE",
    "Check --signserver-url, and that the agent's firewall and proxy (HTTPS_PROXY, NO_PROXY) let it through; name a CA "
    "of your own with --ca-file.",
)
ERRORS: Final = ServiceErrors(
    "SignServer",
    UNREACHABLE,
    ANSWER,
    "If signatures are counted (KEYUSAGELIMIT), look into SignServer's log; run again to sign the file.",
)
_BY_TEXT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        ("no such worker", NOT_FOUND),
        ("hashing requested but not allowed", _HASHING),
        ("non-accepted digest|unknown digest|must specify hash", _DIGEST),
        ("is disabled and cannot perform", _DISABLED),
        ("key usage limit|purchase not granted", _LIMIT),
        ("address not au?thorized|client is not authorized|not in authorized", _FORBIDDEN),
        ("authentication is required|authentication denied|authorization required", SIGN_IN),
        ("certificate.{0,80}(?:expired|not valid|not yet valid)", _CERTIFICATE),
        ("misconfigured|error initializing signer", _MISCONFIGURED),
    )
)
_BY_STATUS: Final[dict[int, ServiceMeaning]] = {
    HTTPStatus.UNAUTHORIZED: SIGN_IN,
    HTTPStatus.FORBIDDEN: _FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS: _THROTTLED,
    HTTPStatus.SERVICE_UNAVAILABLE: _OFFLINE,
}


def error_in(answer: HttpAnswer) -> str | None:
    """What SignServer says in an error's body; None for a body that is not SignServer's."""
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    said = parsed.get("error") if isinstance(parsed, dict) else None
    return one_line(said) if isinstance(said, str) else None


def meaning_of(answer: HttpAnswer) -> ServiceMeaning:
    """What an answer that is not a success means."""
    said = error_in(answer)
    if said is not None:
        found = next((meaning for pattern, meaning in _BY_TEXT if pattern.search(said)), None)
        found = found or _BY_STATUS.get(answer.status)
        return found or (_UNAVAILABLE if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REFUSED)
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        return _BY_STATUS[answer.status]
    return _UNAVAILABLE if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else ANSWER


def refused(answer: HttpAnswer, asked: str, error_class: type[_ErrorT]) -> _ErrorT:
    """The error for a refusal of what was `asked`."""
    said, meaning = error_in(answer), meaning_of(answer)
    text = said if said is not None else one_line(answer.body.decode("utf-8", "replace"))
    message = f"SignServer refused {asked}: {status_text(answer.status)}" + (f": {text}" if text else " (empty body)")
    return error_class(message, code=meaning.code, remedy=meaning.remedy)


def is_before_signing(answer: HttpAnswer) -> bool:
    """Whether a status 500 is from before the worker used its key."""
    return meaning_of(answer) in {_MISCONFIGURED, SIGN_IN, _FORBIDDEN, _HASHING, _DIGEST}


def is_busy(answer: HttpAnswer) -> bool:
    """Whether it is the load balancer's word and may pass: SignServer itself says 503 of a key that it can't use."""
    too_many, unavailable = HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
    return answer.status == too_many or (answer.status == unavailable and error_in(answer) is None)
