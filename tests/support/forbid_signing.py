"""A program: LIBRARY TOKEN PIN LABEL. Sets CKA_SIGN of the private key of that label to false (PKCS #11 2.40, §5.7)."""

from __future__ import annotations

import ctypes
import sys

ULONG = ctypes.c_ulong
OPEN_SESSION, LOGIN, SET_ATTRIBUTE, FIND_INIT, FIND, FIND_FINAL = 12, 18, 25, 26, 27, 28
GET_SLOTS, GET_TOKEN = 4, 6
CKA_CLASS, CKA_LABEL, CKA_SIGN = 0x000, 0x003, 0x108


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (("type", ULONG), ("value", ctypes.c_char_p), ("length", ULONG))


class FunctionList(ctypes.Structure):
    """CK_FUNCTION_LIST."""

    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 68))


def attribute(kind: int, value: bytes) -> Attribute:
    return Attribute(kind, value, len(value))


def forbid(library: str, token: str, pin: str, label: str) -> None:
    pointer = ctypes.POINTER(FunctionList)()
    ctypes.CDLL(library).C_GetFunctionList(ctypes.byref(pointer))

    def call(place: int, *arguments: object) -> None:
        result = ctypes.CFUNCTYPE(ULONG)(pointer.contents.functions[place])(*arguments)
        assert result == 0, f"function {place}: 0x{result:X}"

    call(0, None)
    slots, count = (ULONG * 16)(), ULONG(16)
    call(GET_SLOTS, ctypes.c_ubyte(1), slots, ctypes.byref(count))
    slot = next(slot for slot in slots[: count.value] if label_of(call, slot) == token)
    session, found, handles = ULONG(), ULONG(), (ULONG * 4)()
    call(OPEN_SESSION, ULONG(slot), ULONG(6), None, None, ctypes.byref(session))
    call(LOGIN, session, ULONG(1), pin.encode(), ULONG(len(pin)))
    template = (Attribute * 2)(attribute(CKA_CLASS, bytes(ULONG(3))), attribute(CKA_LABEL, label.encode()))
    call(FIND_INIT, session, template, ULONG(2))
    call(FIND, session, handles, ULONG(4), ctypes.byref(found))
    call(FIND_FINAL, session)
    assert found.value == 1
    call(SET_ATTRIBUTE, session, ULONG(handles[0]), ctypes.byref(attribute(CKA_SIGN, b"\0")), ULONG(1))


def label_of(call: object, slot: int) -> str:
    info = ctypes.create_string_buffer(512)
    call(GET_TOKEN, ULONG(slot), info)  # type: ignore[operator]
    return info.raw[:32].decode().rstrip()


if __name__ == "__main__":
    forbid(*sys.argv[1:])
