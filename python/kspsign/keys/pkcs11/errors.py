"""Maps a PKCS#11 module's return values to errors with a remedy (PKCS #11 Base Specification 2.40, §5.1)."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kspsign.model.errors import PrerequisiteError, SigningError

ENDED, SILENT = "PKCS11_MODULE_ENDED", "PKCS11_MODULE_SILENT"
_LOG = "See the module's own log for the reason; check its configuration and its service."


class CryptokiError(PrerequisiteError):
    """A call was answered with `value` (CKR_...), not with CKR_OK; this room says what it means where it was made."""

    def __init__(self, function: str, value: int) -> None:
        super().__init__(f"{function} answered {name_of(value)}", code="PKCS11_REFUSED", remedy=_LOG)
        self.value = value


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    code: str = "PKCS11_REFUSED"
    remedy: str = _LOG


_PIN = (
    "Check the secret that --pkcs11-pin-env names (task: password): a stale value, a trailing newline, a masked '***'."
)
_UNLOCK = "Unlock it with the vendor's tool (as the token's security officer); kspsign tries a PIN once only."
_GONE = "Connect the token or restart its service, then run again: files that are signed already are skipped."
_USAGE = "Use a key pair whose private key may sign (CKA_SIGN) by CKM_RSA_PKCS or CKM_ECDSA."

_VANISHED: Final = _Known("", "PKCS11_TOKEN_GONE", _GONE)
_KNOWN: Final[dict[int, _Known]] = {
    0x002: _Known("CKR_HOST_MEMORY"),
    0x003: _Known("CKR_SLOT_ID_INVALID", "PKCS11_TOKEN_GONE", _GONE),
    0x005: _Known("CKR_GENERAL_ERROR"),
    0x006: _Known("CKR_FUNCTION_FAILED"),
    0x007: _Known("CKR_ARGUMENTS_BAD"),
    0x020: _Known("CKR_DATA_INVALID", remedy=_USAGE),
    0x021: _Known("CKR_DATA_LEN_RANGE", remedy="Choose --digest sha256, or a longer key."),
    0x030: _Known("CKR_DEVICE_ERROR", "PKCS11_TOKEN_GONE", _GONE),
    0x031: _Known("CKR_DEVICE_MEMORY"),
    0x032: _Known("CKR_DEVICE_REMOVED", "PKCS11_TOKEN_GONE", _GONE),
    0x050: _Known("CKR_FUNCTION_CANCELED"),
    0x054: _Known("CKR_FUNCTION_NOT_SUPPORTED", remedy=_USAGE),
    0x060: _Known("CKR_KEY_HANDLE_INVALID", "PKCS11_TOKEN_GONE", _GONE),
    0x062: _Known("CKR_KEY_SIZE_RANGE", remedy=_USAGE),
    0x063: _Known("CKR_KEY_TYPE_INCONSISTENT", remedy=_USAGE),
    0x068: _Known("CKR_KEY_FUNCTION_NOT_PERMITTED", remedy=_USAGE),
    0x070: _Known("CKR_MECHANISM_INVALID", remedy=_USAGE),
    0x082: _Known("CKR_OBJECT_HANDLE_INVALID", "PKCS11_TOKEN_GONE", _GONE),
    0x0A0: _Known("CKR_PIN_INCORRECT", "PKCS11_PIN", _PIN),
    0x0A1: _Known("CKR_PIN_INVALID", "PKCS11_PIN", _PIN),
    0x0A2: _Known("CKR_PIN_LEN_RANGE", "PKCS11_PIN", _PIN),
    0x0A3: _Known("CKR_PIN_EXPIRED", "PKCS11_PIN_LOCKED", "Set a new PIN with the vendor's tool, then the secret."),
    0x0A4: _Known("CKR_PIN_LOCKED", "PKCS11_PIN_LOCKED", _UNLOCK),
    0x0B0: _Known("CKR_SESSION_CLOSED", "PKCS11_TOKEN_GONE", _GONE),
    0x0B1: _Known("CKR_SESSION_COUNT", remedy="Lower --jobs, or end other programs that hold sessions of this token."),
    0x0B3: _Known("CKR_SESSION_HANDLE_INVALID", "PKCS11_TOKEN_GONE", _GONE),
    0x0E0: _Known("CKR_TOKEN_NOT_PRESENT", "PKCS11_TOKEN_GONE", _GONE),
    0x0E1: _Known("CKR_TOKEN_NOT_RECOGNIZED", "PKCS11_TOKEN_GONE", _GONE),
    0x101: _Known("CKR_USER_NOT_LOGGED_IN", "PKCS11_TOKEN_GONE", _GONE),
    0x102: _Known("CKR_USER_PIN_NOT_INITIALIZED", "PKCS11_PIN_LOCKED", "Set the user PIN with the vendor's tool."),
    0x190: _Known("CKR_CRYPTOKI_NOT_INITIALIZED", "PKCS11_TOKEN_GONE", _GONE),
}


def name_of(value: int) -> str:
    """The CKR_ name, or the number where the specification's name is of no use here."""
    return _KNOWN[value].name if value in _KNOWN else f"CKR 0x{value:08X}"


def at_opening(refused: CryptokiError, module: Path) -> PrerequisiteError:
    """The module refused before a signature was asked for."""
    known = _KNOWN.get(refused.value, _Known(""))
    return PrerequisiteError(f"PKCS#11 module {module.name}: {refused}", code=known.code, remedy=known.remedy)


def at_signing(refused: PrerequisiteError, module: Path, token: str) -> SigningError:
    """The module refused to sign, is gone, or does not show any more what was there when it was opened."""
    if refused.code in (ENDED, SILENT):
        return SigningError(f"token {token!r}: {refused}", code=refused.code, remedy=refused.remedy)
    known = _KNOWN.get(refused.value, _Known("")) if isinstance(refused, CryptokiError) else _VANISHED
    return SigningError(
        f"token {token!r} of PKCS#11 module {module.name}: {refused}", code=known.code, remedy=known.remedy
    )


def unloadable(path: Path, broken: str | None) -> PrerequisiteError:
    """The file is missing, of another architecture, lacks a library of its own, or (None) is not a PKCS#11 module."""
    machine = f"{platform.machine()} ({platform.architecture()[0]} Python)"
    if broken is None:
        what, remedy = "is a library, but no PKCS#11 module", "Name the vendor's PKCS#11 library with --pkcs11-module."
    elif not path.exists():
        what, remedy = "does not exist", "Correct --pkcs11-module, or install the vendor's client tools on this agent."
    else:
        what = f"can't be loaded: {broken}"
        remedy = f"It must be a library for {machine}, readable, and with the libraries that it needs in place."
    return PrerequisiteError(f"the PKCS#11 module {path} {what}", code="PKCS11_MODULE", remedy=remedy)


def ended(path: Path, how: str) -> PrerequisiteError:
    """The module took its process with it, and `how`: it called exit, or crashed."""
    return PrerequisiteError(
        f"PKCS#11 module {path.name} gave no answer: {how}",
        code=ENDED,
        remedy=f"{_LOG} Update the module, try --jobs 1, or reach the key by another key store. Files that are signed "
        "already are skipped when the step runs again.",
    )


def silent(path: Path, call: str, seconds: float) -> PrerequisiteError:
    """The module did not answer in time; its process was ended."""
    return PrerequisiteError(
        f"PKCS#11 module {path.name} did not answer within {seconds:.0f} s ({call.replace('_', ' ')})",
        code=SILENT,
        remedy="Check that the token is connected and waits for no touch and no PIN at its reader, and that its "
        "service can be reached.",
    )
