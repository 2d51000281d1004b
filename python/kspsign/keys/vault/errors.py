"""What Vault's refusals mean, as errors with a remedy. Bodies are {"errors": [...]}, or not Vault's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

from kspsign.model.errors import KspSignError, LostSignatureError, PrerequisiteError, SigningError
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_LONGEST = 400
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")
_TAGS = re.compile(r"<(?:script|style)\b.{0,4000}?</|<[^>]{0,2000}>", re.DOTALL | re.IGNORECASE)
_COUNTED = re.compile(r"\d+ errors? occurred:")


class UnusableReplyError(Exception):
    """An answer that is not Vault's; the text says why."""


@dataclass(frozen=True, slots=True)
class VaultMeaning:
    """Our code for a refusal and what to do about it."""

    code: str
    remedy: str


SIGN_IN: Final = "VAULT_SIGN_IN"
ANSWER: Final = "VAULT_ANSWER"
_FORBIDDEN = VaultMeaning(
    "VAULT_FORBIDDEN",
    'Give the token a policy that may read MOUNT/keys/NAME and update MOUNT/sign/NAME/* ("create" and "update"), in '
    "the key's namespace (--vault-namespace); a token that has expired or was revoked is refused alike.",
)
_UNKNOWN = VaultMeaning(
    "VAULT_NOT_FOUND",
    "Check --keypair-alias (the name of the transit key), --vault-mount and --vault-namespace; case matters.",
)
_SEALED = VaultMeaning(
    "VAULT_UNAVAILABLE",
    "Have Vault unsealed, or name an active node or the load balancer with --vault-address; then run again.",
)
_THROTTLED = VaultMeaning("VAULT_THROTTLED", "Lower --jobs, or have the rate limit quota of this path raised.")
_STALE = VaultMeaning("VAULT_UNAVAILABLE", "Run again: this node of Vault has not yet seen what another one wrote.")
_REFUSED = VaultMeaning(
    "VAULT_REFUSED",
    "Correct what the message names: the key's type and versions (vault read MOUNT/keys/NAME), or --digest.",
)
_ELSEWHERE = VaultMeaning(ANSWER, "Check --vault-address, and that no proxy or firewall answers in Vault's place.")
_REDIRECTED = VaultMeaning(
    ANSWER, "Name the active node or the load balancer with --vault-address: a token is not sent on to another host."
)
_BY_STATUS = {403: _FORBIDDEN, 404: _UNKNOWN, 412: _STALE, 429: _THROTTLED, 472: _SEALED, 473: _SEALED, 503: _SEALED}


def refusal(status: int, body: bytes, asked: str, error_class: type[_ErrorT], extra: str = "") -> _ErrorT:
    """The error for an answer with this HTTP status to what was `asked`."""
    said = said_by(body)
    meaning = _meaning(status)
    message = f"Vault refused {asked}: {status_text(status)}" + (f": {said}" if said else " (no reason given)")
    return error_class(message + extra, code=meaning.code, remedy=meaning.remedy)


def unusable(asked: str, detail: str) -> PrerequisiteError:
    """The error for an answer that is not Vault's, where nothing can have been spent."""
    return PrerequisiteError(
        f"the response to {asked} is not from Vault: {detail}", code=ANSWER, remedy=_ELSEWHERE.remedy
    )


def unreachable(asked: str, reason: str, error_class: type[_ErrorT]) -> _ErrorT:
    """The error for no answer at all."""
    return error_class(
        f"Vault did not respond to {asked}: {reason}",
        code="VAULT_UNREACHABLE",
        remedy="Check --vault-address, and that the agent's firewall and proxy (HTTPS_PROXY, NO_PROXY) let it through; "
        "name a CA of your own with --ca-file.",
    )


def maybe_spent(asked: str, reason: str, *, timed_out: bool = False) -> LostSignatureError:
    """The error for a signature that may have been made and was never seen."""
    return LostSignatureError(
        f"Vault was asked for {asked}, and its answer was lost ({reason})",
        code="SIGNATURE_MAY_BE_SPENT",
        remedy="If signatures are counted, look into Vault's audit log; then run again.",
        timed_out=timed_out,
    )


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
    else:
        text = _TAGS.sub(" ", text)
    line = _BLANKS.sub(" ", _COUNTED.sub(" ", text).replace("\n\t*", " ")).strip()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def as_signing(error: KspSignError) -> SigningError:
    """An error that kept a signature from being asked for, as one of the file's."""
    return SigningError(error.message, code=error.code, remedy=error.remedy)


def _meaning(status: int) -> VaultMeaning:
    if 300 <= status < 400:
        return _REDIRECTED
    if status < 300:
        return _ELSEWHERE
    default = _SEALED if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REFUSED
    return _BY_STATUS.get(status, default)
