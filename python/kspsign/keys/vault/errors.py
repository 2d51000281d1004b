"""What Vault's refusals mean, as errors with a remedy. Bodies are {"errors": [...]}, or not Vault's."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Final, TypeVar

from kspsign.keys.rest import ServiceErrors, ServiceMeaning, one_line
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_COUNTED = re.compile(r"\d+ errors? occurred:")


class UnusableReplyError(Exception):
    """An answer that is not Vault's; the text says why."""


SIGN_IN: Final = "VAULT_SIGN_IN"
ANSWER: Final = "VAULT_ANSWER"
_FORBIDDEN = ServiceMeaning(
    "VAULT_FORBIDDEN",
    'Give the token a policy that may read MOUNT/keys/NAME and update MOUNT/sign/NAME/* ("create" and "update"), in '
    "the key's namespace (--vault-namespace); a token that has expired or was revoked is refused alike.",
)
_UNKNOWN = ServiceMeaning(
    "VAULT_NOT_FOUND",
    "Check --keypair-alias (the name of the transit key), --vault-mount and --vault-namespace; case matters.",
)
_SEALED = ServiceMeaning(
    "VAULT_UNAVAILABLE",
    "Have Vault unsealed, or name an active node or the load balancer with --vault-address; then run again.",
)
_THROTTLED = ServiceMeaning("VAULT_THROTTLED", "Lower --jobs, or have the rate limit quota of this path raised.")
_STALE = ServiceMeaning("VAULT_UNAVAILABLE", "Run again: this node of Vault has not yet seen what another one wrote.")
_REFUSED = ServiceMeaning(
    "VAULT_REFUSED",
    "Correct what the message names: the key's type and versions (vault read MOUNT/keys/NAME), or --digest.",
)
_ELSEWHERE = ServiceMeaning(ANSWER, "Check --vault-address, and that no proxy or firewall answers in Vault's place.")
_REDIRECTED = ServiceMeaning(
    ANSWER, "Name the active node or the load balancer with --vault-address: a token is not sent on to another host."
)
ERRORS: Final = ServiceErrors(
    "Vault",
    ServiceMeaning(
        "VAULT_UNREACHABLE",
        "Check --vault-address, and that the agent's firewall and proxy (HTTPS_PROXY, NO_PROXY) let it through; "
        "name a CA of your own with --ca-file.",
    ),
    _ELSEWHERE,
    "If signatures are counted, look into Vault's audit log; then run again.",
)
_BY_STATUS = {403: _FORBIDDEN, 404: _UNKNOWN, 412: _STALE, 429: _THROTTLED, 472: _SEALED, 473: _SEALED, 503: _SEALED}


def refusal(status: int, body: bytes, asked: str, error_class: type[_ErrorT], extra: str = "") -> _ErrorT:
    """The error for an answer with this HTTP status to what was `asked`."""
    said = said_by(body)
    meaning = _meaning(status)
    message = f"Vault refused {asked}: {status_text(status)}" + (f": {said}" if said else " (no reason given)")
    return error_class(message + extra, code=meaning.code, remedy=meaning.remedy)


def no_sign_in(message: str) -> PrerequisiteError:
    """The error for a sign-in that Vault refuses, or that was not possible."""
    return PrerequisiteError(
        message,
        code=SIGN_IN,
        remedy="Check --vault-auth, --vault-role and --vault-auth-mount, and that the token, secret id or JWT is of "
        "this Vault and namespace and has not expired or been used up.",
    )


def said_by(body: bytes) -> str:
    """What an error's body says, on one line: Vault's errors, or the text of a page that is not Vault's."""
    text = body.decode("utf-8", errors="replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("errors"), list):
        text = "; ".join(str(error) for error in parsed["errors"])
    return one_line(_COUNTED.sub(" ", text).replace("\n\t*", " "))


def _meaning(status: int) -> ServiceMeaning:
    if 300 <= status < 400:
        return _REDIRECTED
    if status < 300:
        return _ELSEWHERE
    default = _SEALED if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REFUSED
    return _BY_STATUS.get(status, default)
