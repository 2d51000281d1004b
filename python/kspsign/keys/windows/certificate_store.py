"""The Windows certificate stores through crypt32: each certificate with its friendly name and key."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kspsign.model.errors import PrerequisiteError

Location = Literal["user", "system"]

_PROV_SYSTEM_W = 10
_LOCATIONS = {"user": 1 << 16, "system": 2 << 16}  # CERT_SYSTEM_STORE_CURRENT_USER, _LOCAL_MACHINE
_READ_ONLY_EXISTING = 0x8000 | 0x4000  # CERT_STORE_READONLY_FLAG, CERT_STORE_OPEN_EXISTING_FLAG
_KEY_PROV_INFO, _FRIENDLY_NAME = 2, 11
_ENCODING = 1  # X509_ASN_ENCODING
_REPLACE_EXISTING = 3  # CERT_STORE_ADD_REPLACE_EXISTING


@dataclass(frozen=True, slots=True)
class StoreCertificate:
    """One certificate of a store: its DER, its friendly name, and the provider and container of its key."""

    der: bytes
    friendly_name: str | None
    provider: str | None
    container: str | None


class _Context(ctypes.Structure):
    """CERT_CONTEXT of wincrypt.h."""

    _fields_ = (
        ("encoding", ctypes.c_uint32),
        ("encoded", ctypes.POINTER(ctypes.c_ubyte)),
        ("size", ctypes.c_uint32),
        ("info", ctypes.c_void_p),
        ("store", ctypes.c_void_p),
    )


class _KeyProvInfo(ctypes.Structure):
    """CRYPT_KEY_PROV_INFO of wincrypt.h; provider type 0 means a KSP."""

    _fields_ = (
        ("container", ctypes.c_wchar_p),
        ("provider", ctypes.c_wchar_p),
        ("provider_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("parameters", ctypes.c_uint32),
        ("parameter", ctypes.c_void_p),
        ("key_spec", ctypes.c_uint32),
    )


class _Blob(ctypes.Structure):
    """CRYPT_DATA_BLOB of wincrypt.h."""

    _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.c_char_p))


def read_store(location: Location, name: str) -> tuple[StoreCertificate, ...]:
    """The certificates of the store `name` ("MY", "CA", "ROOT") of this user or of the machine; () if it is missing.

    Raises PrerequisiteError elsewhere than on Windows.
    """
    if sys.platform == "win32":
        crypt32 = _crypt32()
        flags = _LOCATIONS[location] | _READ_ONLY_EXISTING
        store = crypt32.CertOpenStore(ctypes.c_void_p(_PROV_SYSTEM_W), 0, None, flags, ctypes.c_wchar_p(name))
        if not store:
            return ()
        try:
            return tuple(_describe(crypt32, context) for context in _contexts(crypt32, store))
        finally:
            crypt32.CertCloseStore(store, 0)
    raise _not_windows()


def add_certificate(location: Location, der: bytes, *, friendly_name: str, provider: str, container: str) -> None:
    """Put `der` into the store My of this user or of the machine, with its name and the KSP `provider` that holds its
    key under `container`; it takes the place of one that is there. Raises PrerequisiteError.
    """
    if sys.platform == "win32":
        crypt32 = _crypt32()
        name = (friendly_name + "\0").encode("utf-16-le")
        properties = ((_KEY_PROV_INFO, _KeyProvInfo(container, provider)), (_FRIENDLY_NAME, _Blob(len(name), name)))
        system, my = ctypes.c_void_p(_PROV_SYSTEM_W), ctypes.c_wchar_p("MY")
        store = crypt32.CertOpenStore(system, 0, None, _LOCATIONS[location], my)
        if not store:  # adding to no store would succeed, and add nothing
            raise _not_written(location, ctypes.WinError(ctypes.get_last_error()))
        context = crypt32.CertCreateCertificateContext(_ENCODING, der, len(der))
        try:
            named = context and all(
                crypt32.CertSetCertificateContextProperty(context, number, 0, ctypes.byref(value))
                for number, value in properties
            )
            if not (named and crypt32.CertAddCertificateContextToStore(store, context, _REPLACE_EXISTING, None)):
                raise _not_written(location, ctypes.WinError(ctypes.get_last_error()))
        finally:
            crypt32.CertFreeCertificateContext(context)  # which takes NULL
            crypt32.CertCloseStore(store, 0)
        return
    raise _not_windows()


def _not_windows() -> PrerequisiteError:
    return PrerequisiteError(
        "key store windows uses the Windows certificate store, which this machine does not have",
        code="NOT_WINDOWS",
        remedy="Run on a Windows agent, or sign with --certificate, --keypair-alias and --signtool.",
    )


def _not_written(location: Location, refused: OSError) -> PrerequisiteError:
    whose = "user" if location == "user" else "machine"
    return PrerequisiteError(
        f"the Windows certificate store My of this {whose} can't be written: {refused.strerror}",
        code="STORE_NOT_WRITABLE",
        remedy="The machine's store takes an administrator; the user's needs the user's profile to be loaded.",
    )


def _contexts(crypt32: Any, store: int) -> Iterator[Any]:
    """Each context; asking for the next frees the one before."""
    context = crypt32.CertEnumCertificatesInStore(store, None)
    while context:
        yield context
        context = crypt32.CertEnumCertificatesInStore(store, context)


def _describe(crypt32: Any, context: Any) -> StoreCertificate:
    der = ctypes.string_at(context.contents.encoded, context.contents.size)
    name = _property(crypt32, context, _FRIENDLY_NAME)
    key = _property(crypt32, context, _KEY_PROV_INFO)
    info = _KeyProvInfo.from_buffer(key) if key is not None else None
    return StoreCertificate(
        der=der,
        friendly_name=ctypes.wstring_at(ctypes.addressof(name)) if name is not None else None,
        provider=info.provider if info else None,
        container=info.container if info else None,
    )


def _property(crypt32: Any, context: Any, number: int) -> Any:
    """A buffer with the property's value, None when the certificate lacks it."""
    size = ctypes.c_uint32()
    if not crypt32.CertGetCertificateContextProperty(context, number, None, ctypes.byref(size)) or not size.value:
        return None
    value = ctypes.create_string_buffer(size.value)
    if not crypt32.CertGetCertificateContextProperty(context, number, value, ctypes.byref(size)):
        return None
    return value


if sys.platform == "win32":

    def _crypt32() -> Any:
        library = ctypes.WinDLL("crypt32", use_last_error=True)
        context = ctypes.POINTER(_Context)
        library.CertOpenStore.restype = ctypes.c_void_p
        library.CertOpenStore.argtypes = (
            *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p),
            *(ctypes.c_uint32, ctypes.c_wchar_p),
        )
        library.CertEnumCertificatesInStore.restype = context
        library.CertEnumCertificatesInStore.argtypes = (ctypes.c_void_p, context)
        library.CertGetCertificateContextProperty.argtypes = (
            *(context, ctypes.c_uint32, ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_uint32),
        )
        library.CertCloseStore.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        library.CertCreateCertificateContext.restype = context
        library.CertCreateCertificateContext.argtypes = (ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32)
        library.CertFreeCertificateContext.argtypes = (context,)
        library.CertSetCertificateContextProperty.argtypes = (
            *(context, ctypes.c_uint32),
            *(ctypes.c_uint32, ctypes.c_void_p),
        )
        library.CertAddCertificateContextToStore.argtypes = (
            *(ctypes.c_void_p, context),
            *(ctypes.c_uint32, ctypes.c_void_p),
        )
        return library
