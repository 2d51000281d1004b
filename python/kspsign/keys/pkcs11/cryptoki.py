"""The calls of a PKCS#11 module that signing needs (PKCS #11 Base Specification 2.40), for use by many threads.

A module is loaded with CKF_OS_LOCKING_OK (§5.4): without it the specification allows one thread only.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kspsign.keys.pkcs11.errors import CryptokiError, unloadable

CKR_CANT_LOCK, CKR_ALREADY_INITIALIZED, CKR_USER_ALREADY_LOGGED_IN = 0x0A, 0x191, 0x100
CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID = 0x11, 0x12
CKA_CLASS, CKA_LABEL, CKA_VALUE, CKA_KEY_TYPE, CKA_ID = 0x000, 0x003, 0x011, 0x100, 0x102
CKA_SIGN, CKA_START_DATE, CKA_END_DATE = 0x108, 0x110, 0x111
CKA_MODULUS, CKA_ALWAYS_AUTHENTICATE = 0x120, 0x202
CKO_CERTIFICATE, CKO_PRIVATE_KEY = 1, 3
CKK_RSA = 0
CKM_RSA_PKCS, CKM_ECDSA = 0x0001, 0x1041
CKU_USER, CKU_CONTEXT_SPECIFIC = 1, 2
CKF_LOGIN_REQUIRED, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED = 0x4, 0x20000, 0x40000
_CKF_OS_LOCKING_OK, _CKF_SERIAL_SESSION = 2, 4
_MOST_SIGNATURE_BYTES = 2048

_FUNCTIONS = {
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetSlotList": 4,
    "C_GetTokenInfo": 6,
    "C_GetMechanismList": 7,
    "C_OpenSession": 12,
    "C_CloseSession": 13,
    "C_Login": 18,
    "C_GetAttributeValue": 24,
    "C_FindObjectsInit": 26,
    "C_FindObjects": 27,
    "C_FindObjectsFinal": 28,
    "C_SignInit": 42,
    "C_Sign": 43,
}
"""Places in CK_FUNCTION_LIST (pkcs11f.h), the same in every version since 2.01."""

_ulong = ctypes.c_ulong


class _Packed(ctypes.Structure):
    """Structures of cryptoki.h: packed to one byte on Windows, natural alignment elsewhere (§2.1)."""

    if sys.platform == "win32":
        _layout_ = "ms"
        _pack_ = 1


class _FunctionList(_Packed):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 68))


class _Attribute(_Packed):
    _fields_ = (("type", _ulong), ("value", ctypes.c_void_p), ("length", _ulong))


class _Mechanism(_Packed):
    _fields_ = (("mechanism", _ulong), ("parameter", ctypes.c_void_p), ("length", _ulong))


class _InitializeArgs(_Packed):
    _fields_ = (("mutexes", ctypes.c_void_p * 4), ("flags", _ulong), ("reserved", ctypes.c_void_p))


class _TokenInfo(_Packed):
    _fields_ = (
        *(("label", ctypes.c_char * 32), ("manufacturer", ctypes.c_char * 32), ("model", ctypes.c_char * 16)),
        *(("serial", ctypes.c_char * 16), ("flags", _ulong), ("most_sessions", _ulong), ("rest", _ulong * 9)),
        *(("versions", ctypes.c_ubyte * 4), ("time", ctypes.c_char * 16)),
    )


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is present: its slot, label, and how many sessions it allows (None: no known limit).

    `flags` are those of CK_TOKEN_INFO (CKF_...).
    """

    slot: int
    label: str
    most_sessions: int | None
    flags: int = 0


class Cryptoki:
    """A loaded, initialised module; its methods may be called by many threads, each with a session of its own.

    Every method raises CryptokiError with the CKR_ value when the module answers anything but CKR_OK.
    """

    def __init__(self, path: Path) -> None:
        """Load the module. Raises PrerequisiteError when it can't be loaded or is not a PKCS#11 module."""
        try:
            self._library = ctypes.CDLL(str(path.absolute()))
            get_list = self._library.C_GetFunctionList
        except (OSError, AttributeError) as broken:
            raise unloadable(path, broken) from broken
        pointer = ctypes.POINTER(_FunctionList)()
        get_list.restype = _ulong
        _check("C_GetFunctionList", get_list(ctypes.byref(pointer)))
        prototype = ctypes.CFUNCTYPE(_ulong)
        functions = pointer.contents.functions
        self._calls = {name: prototype(functions[place]) for name, place in _FUNCTIONS.items()}
        self.threads, self._owned = self._initialise()

    def _initialise(self) -> tuple[bool, bool]:
        """Whether many threads may call the module, and whether it is this object's to finalise."""
        arguments = _InitializeArgs(flags=_CKF_OS_LOCKING_OK)
        result = self._calls["C_Initialize"](ctypes.byref(arguments))
        if result == CKR_CANT_LOCK:
            self._call("C_Initialize", None)
            return False, True
        if result == CKR_ALREADY_INITIALIZED:
            return True, False
        _check("C_Initialize", result)
        return True, True

    def tokens(self) -> tuple[Token, ...]:
        """The tokens that are present and initialised."""
        count = _ulong()
        self._call("C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
        slots = (_ulong * max(1, count.value))()
        self._call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        return tuple(token for slot in slots[: count.value] if (token := self._token(slot)) is not None)

    def _token(self, slot: int) -> Token | None:
        info = _TokenInfo()
        self._call("C_GetTokenInfo", _ulong(slot), ctypes.byref(info))
        if not info.flags & 0x400:  # CKF_TOKEN_INITIALIZED
            return None
        most = info.most_sessions
        unlimited = most in {0, _ulong(-1).value}  # CK_EFFECTIVELY_INFINITE, CK_UNAVAILABLE_INFORMATION
        return Token(slot, info.label.decode("utf-8", "replace").rstrip(" "), None if unlimited else most, info.flags)

    def mechanisms(self, slot: int) -> frozenset[int]:
        """The mechanisms (CKM_...) of the token in `slot`."""
        count = _ulong()
        self._call("C_GetMechanismList", _ulong(slot), None, ctypes.byref(count))
        found = (_ulong * max(1, count.value))()
        self._call("C_GetMechanismList", _ulong(slot), found, ctypes.byref(count))
        return frozenset(found[: count.value])

    def open_session(self, slot: int) -> int:
        """A new read-only session; the token's login holds for it too (§5.6)."""
        session = _ulong()
        self._call("C_OpenSession", _ulong(slot), _ulong(_CKF_SERIAL_SESSION), None, None, ctypes.byref(session))
        return session.value

    def close_session(self, session: int) -> None:
        """End one session."""
        self._call("C_CloseSession", _ulong(session))

    def login(self, session: int, pin: str, user: int = CKU_USER) -> None:
        """Log in to the session's token; already logged in is fine."""
        value = pin.encode()
        try:
            self._call("C_Login", _ulong(session), _ulong(user), value, _ulong(len(value)))
        except CryptokiError as refused:
            if refused.value != CKR_USER_ALREADY_LOGGED_IN:
                raise

    def find(self, session: int, object_class: int, attributes: Mapping[int, bytes]) -> tuple[int, ...]:
        """Handles of the objects of that class that have all these attributes."""
        template = {CKA_CLASS: bytes(_ulong(object_class)), **attributes}
        array = (_Attribute * len(template))(*(_attribute(kind, value) for kind, value in template.items()))
        self._call("C_FindObjectsInit", _ulong(session), array, _ulong(len(template)))
        found: list[int] = []
        handles, count = (_ulong * 64)(), _ulong()
        try:
            while True:
                self._call("C_FindObjects", _ulong(session), handles, _ulong(64), ctypes.byref(count))
                if not count.value:
                    return tuple(found)
                found += handles[: count.value]
        finally:
            self._call("C_FindObjectsFinal", _ulong(session))

    def attribute(self, session: int, handle: int, kind: int) -> bytes | None:
        """The attribute's value; None when the object lacks it or keeps it to itself."""
        wanted = _Attribute(kind, None, 0)
        try:
            self._call("C_GetAttributeValue", _ulong(session), _ulong(handle), ctypes.byref(wanted), _ulong(1))
            value = ctypes.create_string_buffer(max(1, wanted.length))
            wanted.value = ctypes.addressof(value)
            self._call("C_GetAttributeValue", _ulong(session), _ulong(handle), ctypes.byref(wanted), _ulong(1))
        except CryptokiError as refused:
            if refused.value in {CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID}:
                return None
            raise
        return value.raw[: wanted.length]

    def sign(self, session: int, key: int, mechanism: int, data: bytes, pin: str | None) -> bytes:
        """C_SignInit and C_Sign; `pin` is for a key that wants a login for each signature (§4.9)."""
        self._call("C_SignInit", _ulong(session), ctypes.byref(_Mechanism(mechanism, None, 0)), _ulong(key))
        if pin is not None:
            self.login(session, pin, CKU_CONTEXT_SPECIFIC)
        signature, length = ctypes.create_string_buffer(_MOST_SIGNATURE_BYTES), _ulong(_MOST_SIGNATURE_BYTES)
        self._call("C_Sign", _ulong(session), data, _ulong(len(data)), signature, ctypes.byref(length))
        return signature.raw[: length.value]

    def finalise(self) -> None:
        """End all sessions and the login; calling it again does nothing."""
        if self._owned:
            self._owned = False
            self._calls["C_Finalize"](None)  # a token that was removed can't say goodbye

    def _call(self, name: str, *arguments: Any) -> None:
        _check(name, self._calls[name](*arguments))


def _attribute(kind: int, value: bytes) -> _Attribute:
    # c_char_p keeps `value` alive as long as the array holds it.
    return _Attribute(kind, ctypes.cast(ctypes.c_char_p(value), ctypes.c_void_p), len(value))


def _check(function: str, result: int) -> None:
    if result:
        raise CryptokiError(function, result)
