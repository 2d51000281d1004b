"""Why the vault says no, by its own sub-code (error.innererror.code) or, where it sends none, by its sentence.

A right that is missing is not among them: that is what HTTP 403 means without another reason.
"""

from __future__ import annotations

from typing import Final

from azure.core.exceptions import HttpResponseError

_STATUSES: Final = frozenset({400, 403, 409})
_FIREWALL: Final = (
    "KEY_VAULT_FIREWALL",
    "Let the agent's address or network through the vault's firewall, or run on an agent with a private endpoint.",
)
_DISABLED: Final = ("KEY_VAULT_DISABLED", "Enable the version in the vault, or name another version.")
_EXPIRED: Final = (
    "KEY_VAULT_KEY_EXPIRED",
    "Renew the certificate, whose new version has a new key, or move the key's expiry date in the vault.",
)
_EARLY: Final = ("KEY_VAULT_KEY_EXPIRED", "Wait for the key's activation date, or move it in the vault.")
_OPERATION: Final = (
    "KEY_VAULT_OPERATION",
    "Add sign to the key's permitted operations in the vault, or name a key that has it.",
)
_BY_CODE: Final = {
    "forbiddenbyfirewall": _FIREWALL,
    "forbiddenbyconnection": _FIREWALL,
    "keydisabled": _DISABLED,
    "keyexpired": _EXPIRED,
    "keynotyetvalid": _EARLY,
    "keyoperationforbidden": _OPERATION,
}
_BY_WORDS: Final = (
    ("public network access is disabled", _FIREWALL),
    ("client address is not authorized", _FIREWALL),
    ("on an expired", _EXPIRED),
    ("not yet valid", _EARLY),
    ("is not permitted on this key", _OPERATION),
    ("disabled", _DISABLED),
)
"""The more special first: "disabled" is said of networks too."""


def reason_for(refused: HttpResponseError, text: str) -> tuple[str, str] | None:
    """Our code and the remedy; None when the status says all that there is to say. `text` is the service's own."""
    if refused.status_code not in _STATUSES:
        return None
    inner = getattr(refused.error, "innererror", None)
    known = _BY_CODE.get(str(inner.get("code", "")).lower()) if isinstance(inner, dict) else None
    said = text.lower()
    return known or next((reason for words, reason in _BY_WORDS if words in said), None)
