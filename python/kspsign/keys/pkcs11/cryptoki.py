"""The calls of a PKCS#11 module that signing needs (PKCS #11 Base Specification 2.40), for use by many threads.

A module is loaded with CKF_OS_LOCKING_OK (§5.4): without it the specification allows one thread only. It is loaded in
a process of its own (`module_process`), which has nothing but the standard library: so has this file.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CKR_CANT_LOCK, CKR_ALREADY_INITIALIZED, CKR_USER_ALREADY_LOGGED_IN = 0x0A, 0x191, 0x100
CKR_BUFFER_TOO_SMALL = 0x150
CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID = 0x11, 0x12
CKA_CLASS, CKA_LABEL, CKA_VALUE, CKA_KEY_TYPE, CKA_ID = 0x000, 0x003, 0x011, 0x100, 0x102
CKA_SIGN, CKA_START_DATE, CKA_END_DATE = 0x108, 0x110, 0x111
CKA_MODULUS, CKA_EC_POINT, CKA_ALWAYS_AUTHENTICATE = 0x120, 0x181, 0x202
CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY = 1, 2, 3
CKK_RSA = 0
CKM_RSA_PKCS, CKM_ECDSA = 0x0001, 0x1041
CKU_USER, CKU_CONTEXT_SPECIFIC = 1, 2
CKF_LOGIN_REQUIRED, CKF_PROTECTED_AUTHENTICATION_PATH = 0x4, 0x100
CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED = 0x20000, 0x40000
_CKF_OS_LOCKING_OK, _CKF_SERIAL_SESSION = 2, 4
_MOST_SIGNATURE_BYTES = 2048
_LIST_ATTEMPTS = 8

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
_UNAVAILABLE = _ulong(-1).value
"""CK_UNAVAILABLE_INFORMATION."""


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
    """With one pointer more than the specification has: NSS puts its parameters before the reserved one."""

    _fields_ = (
        *(("mutexes", ctypes.c_void_p * 4), ("flags", _ulong)),
        *(("parameters", ctypes.c_char_p), ("reserved", ctypes.c_void_p)),
    )


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
    serial: str = ""


class RefusedCallError(Exception):
    """The module answered `function` with `value` (CKR_...), not with CKR_OK."""

    def __init__(self, function: str, value: int) -> None:
        super().__init__(function, value)
        self.function, self.value = function, value


class Cryptoki:
    """A loaded, initialised module; its methods may be called by many threads, each with a session of its own.

    Every method raises RefusedCallError when the module answers anything but CKR_OK.
    """

    def __init__(self, path: str, parameters: str | None = None) -> None:
        """Load the module, and initialise it with `parameters` where it takes some (NSS, p11-kit).

        Raises OSError when it can't be loaded, AttributeError when it is not a PKCS#11 module.
        """
        self._library = ctypes.CDLL(path)
        get_list = self._library.C_GetFunctionList
        self._parameters = None if parameters is None else parameters.encode()
        self._context_login = threading.Lock()
        pointer = ctypes.POINTER(_FunctionList)()
        get_list.restype = _ulong
        _check("C_GetFunctionList", get_list(ctypes.byref(pointer)))
        prototype = ctypes.CFUNCTYPE(_ulong)
        functions = pointer.contents.functions
        self._calls = {name: prototype(functions[place]) for name, place in _FUNCTIONS.items()}
        self.threads, self._owned = self._initialise()

    def _initialise(self) -> tuple[bool, bool]:
        """Whether many threads may call the module, and whether it is this object's to finalise."""
        arguments = _InitializeArgs(flags=_CKF_OS_LOCKING_OK, parameters=self._parameters)
        result = self._calls["C_Initialize"](ctypes.byref(arguments))
        if result == CKR_CANT_LOCK:
            alone = None if self._parameters is None else ctypes.byref(_InitializeArgs(parameters=self._parameters))
            self._call("C_Initialize", alone)
            return False, True
        if result == CKR_ALREADY_INITIALIZED:
            return True, False
        _check("C_Initialize", result)
        return True, True

    def tokens(self) -> tuple[tuple[Token, ...], tuple[tuple[int, str, int], ...]]:
        """The tokens that are present and initialised; and each slot that reports none because of an error, with the
        function and the CKR_ value: the error is not one of the others."""
        found: list[Token] = []
        refused: list[tuple[int, str, int]] = []
        for slot in self._list("C_GetSlotList", ctypes.c_ubyte(1)):
            try:
                token = self._token(slot)
            except RefusedCallError as silent:
                refused.append((slot, silent.function, silent.value))
            else:
                found += [] if token is None else [token]
        return tuple(found), tuple(refused)

    def _list(self, function: str, of: Any) -> tuple[int, ...]:
        """What `function` lists, which may grow between being counted and being read (§5.2)."""
        for attempt in range(_LIST_ATTEMPTS):
            count = _ulong()
            self._call(function, of, None, ctypes.byref(count))
            room = (_ulong * (count.value + 1 + attempt))()
            count.value = len(room)
            try:
                self._call(function, of, room, ctypes.byref(count))
            except RefusedCallError as refused:
                if refused.value != CKR_BUFFER_TOO_SMALL:
                    raise
            else:
                return tuple(room[: count.value])
        raise RefusedCallError(function, CKR_BUFFER_TOO_SMALL)

    def _token(self, slot: int) -> Token | None:
        info = _TokenInfo()
        self._call("C_GetTokenInfo", _ulong(slot), ctypes.byref(info))
        if not info.flags & 0x400:  # CKF_TOKEN_INITIALIZED
            return None
        most = info.most_sessions
        unlimited = most in {0, _UNAVAILABLE}  # 0 is CK_EFFECTIVELY_INFINITE
        label, serial = (text.decode("utf-8", "replace").rstrip(" ") for text in (info.label, info.serial))
        return Token(slot, label, None if unlimited else most, info.flags, serial)

    def mechanisms(self, slot: int) -> frozenset[int]:
        """The mechanisms (CKM_...) of the token in `slot`."""
        return frozenset(self._list("C_GetMechanismList", _ulong(slot)))

    def open_session(self, slot: int) -> int:
        """A new read-only session; the token's login holds for it too (§5.6)."""
        session = _ulong()
        self._call("C_OpenSession", _ulong(slot), _ulong(_CKF_SERIAL_SESSION), None, None, ctypes.byref(session))
        return session.value

    def close_session(self, session: int) -> None:
        """End one session."""
        self._call("C_CloseSession", _ulong(session))

    def login(self, session: int, pin: str | None, user: int = CKU_USER) -> None:
        """Log in to the session's token; already logged in is fine. Without `pin` the token asks for it itself, at its
        reader's PIN pad (CKF_PROTECTED_AUTHENTICATION_PATH)."""
        value = None if pin is None else pin.encode()
        try:
            self._call("C_Login", _ulong(session), _ulong(user), value, _ulong(len(value or b"")))
        except RefusedCallError as refused:
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
            if wanted.length == _UNAVAILABLE:  # with CKR_OK, as some modules say what CKR_ATTRIBUTE_... is for
                return None
            value = ctypes.create_string_buffer(max(1, wanted.length))
            wanted.value = ctypes.addressof(value)
            self._call("C_GetAttributeValue", _ulong(session), _ulong(handle), ctypes.byref(wanted), _ulong(1))
        except RefusedCallError as refused:
            if refused.value in {CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID}:
                return None
            raise
        return value.raw[: wanted.length]

    def sign(self, session: int, key: int, mechanism: int, data: bytes) -> bytes:
        """One signature of a key that wants no login of its own for it."""
        self._sign_init(session, key, mechanism)
        return self._sign(session, data)

    def sign_logged_in(self, session: int, key: int, mechanism: int, data: bytes, pin: str | None) -> bytes:
        """One signature of a key that wants a login for each (CKA_ALWAYS_AUTHENTICATE, §4.9), one at a time: the login
        belongs to the token, and another session's would end it."""
        with self._context_login:
            self._sign_init(session, key, mechanism)
            self.login(session, pin, CKU_CONTEXT_SPECIFIC)
            return self._sign(session, data)

    def _sign_init(self, session: int, key: int, mechanism: int) -> None:
        self._call("C_SignInit", _ulong(session), ctypes.byref(_Mechanism(mechanism, None, 0)), _ulong(key))

    def _sign(self, session: int, data: bytes) -> bytes:
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
        raise RefusedCallError(function, result)
