"""The TLS client certificate of a signing service: read from PKCS#12 (RFC 7292) or PEM, handed to an SSL context."""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from kspsign.certificates.parse import display_name
from kspsign.keys.in_memory import LocalKey
from kspsign.keys.pkcs12.store import decrypt, is_pkcs12
from kspsign.model.errors import PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import iso_utc
from kspsign.network.tls import client_context

_OPEN_FILES = Path("/dev/fd")
"""Where the system gives open files a path."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate with its issuers, as far as the file has them, and its private key."""

    chain: tuple[x509.Certificate, ...]
    key: LocalKey

    @property
    def end(self) -> datetime:
        """When it stops being valid."""
        return self.chain[0].not_valid_after_utc


class Advice(NamedTuple):
    """Remedies for a client certificate of one service: the right `file`, its `password`, its `renewal`."""

    file: str
    password: str
    renewal: str


def read_client_certificate(
    content: bytes, password: str | None, origin: str, advice: Advice, *, pem: bool = False
) -> ClientCertificate:
    """The client certificate in a PKCS#12 file that came from `origin` (a path or a variable's name).

    With `pem` it may also be PEM: the certificate, its key and issuers. Raises PrerequisiteError when it is of neither
    form, does not open with the password, lacks a certificate or an RSA or EC key, or is not valid now.
    """
    if pem and b"-----BEGIN" in content:
        found = _from_pem(content, password, origin, advice)
    elif is_pkcs12(content):
        found = _from_pkcs12(content, password, origin, advice)
    else:
        form = "a PKCS#12 or PEM file" if pem else "a PKCS#12 file"
        raise PrerequisiteError(f"{origin} is not {form}", code="CLIENT_CERTIFICATE", remedy=advice.file)
    _check_valid(found.chain[0], origin, advice)
    return found


def tls_context(
    client: ClientCertificate, authorities: bytes | None, folder: Path | None, network: NetworkOptions
) -> ssl.SSLContext:
    """A context that presents `client` and trusts the roots of `network` and `authorities` (PEM or DER) too.

    Nothing of it comes to a disk where the system names open files (Linux, macOS). Raises PrerequisiteError when
    `authorities` are not certificates, or certificate and key can't be handed over.
    """
    context = client_context(network)
    if authorities is not None:
        _trust(context, authorities)
    certificates = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in client.chain)
    try:
        if _OPEN_FILES.is_dir():
            key = client.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            with _as_path(certificates) as chain_path, _as_path(key) as key_path:
                context.load_cert_chain(chain_path, key_path)
        else:
            _load_from_file(context, client.key, certificates, folder)
    except OSError as refused:
        raise PrerequisiteError(
            f"the client certificate can't be handed to TLS: {refused.strerror or refused}",
            code="CLIENT_CERTIFICATE",
            remedy="Check that the temporary folder can be written and that certificate and key in it match.",
        ) from refused
    return context


def _from_pkcs12(content: bytes, password: str | None, origin: str, advice: Advice) -> ClientCertificate:
    try:
        opened = decrypt(content, password)
    except ValueError as refused:
        raise _locked(origin, advice) from refused
    except UnsupportedAlgorithm as unknown:
        remedy = "Export it again with AES-256, for instance with OpenSSL 3."
        message = f"{origin} is encrypted with an unknown method: {unknown}"
        raise PrerequisiteError(message, code="CLIENT_CERTIFICATE", remedy=remedy) from unknown
    if opened.cert is None or not isinstance(opened.key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise _incomplete(origin, advice)
    return ClientCertificate(
        (opened.cert.certificate, *(entry.certificate for entry in opened.additional_certs)), opened.key
    )


def _from_pem(content: bytes, password: str | None, origin: str, advice: Advice) -> ClientCertificate:
    """RFC 7468: the leaf is the certificate of the key, in whatever order they are."""
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError as broken:
        raise _incomplete(origin, advice) from broken
    try:
        key = load_pem_private_key(content, password.encode() if password and b"ENCRYPTED" in content else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as refused:
        error = _locked(origin, advice) if b"ENCRYPTED" in content else _incomplete(origin, advice)
        raise error from refused
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise _incomplete(origin, advice)
    leaf = next((parsed for parsed in certificates if parsed.public_key() == key.public_key()), None)
    if leaf is None:
        raise PrerequisiteError(
            f"no certificate in {origin} belongs to its private key", code="CLIENT_CERTIFICATE", remedy=advice.file
        )
    return ClientCertificate((leaf, *(parsed for parsed in certificates if parsed != leaf)), key)


def _locked(origin: str, advice: Advice) -> PrerequisiteError:
    return PrerequisiteError(
        f"the client certificate in {origin} does not open with its password",
        code="CLIENT_CERTIFICATE_PASSWORD",
        remedy=advice.password,
    )


def _incomplete(origin: str, advice: Advice) -> PrerequisiteError:
    message = f"{origin} holds no certificate with an RSA or EC private key"
    return PrerequisiteError(message, code="CLIENT_CERTIFICATE", remedy=advice.file)


@contextlib.contextmanager
def _as_path(content: bytes) -> Iterator[str]:
    """A path from which `content` can be read once: OpenSSL takes certificate and key by paths only."""
    reading, writing = os.pipe()

    def write() -> None:
        with contextlib.suppress(OSError), os.fdopen(writing, "wb") as pipe:  # who does not read it to its end says why
            pipe.write(content)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield str(_OPEN_FILES / str(reading))
    finally:
        os.close(reading)
        writer.join()


def _load_from_file(context: ssl.SSLContext, key: LocalKey, certificates: bytes, folder: Path | None) -> None:
    """By a file in `folder` that this user alone may read, encrypted with a password that is thrown away, and gone
    when this returns: Windows has no path for anything but files."""
    once = secrets.token_urlsafe(32)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(once.encode()))
    number, name = tempfile.mkstemp(prefix="kspsign-", suffix=".pem", dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(private + certificates)
        context.load_cert_chain(name, password=once)
    finally:
        Path(name).unlink()


def _trust(context: ssl.SSLContext, authorities: bytes) -> None:
    try:
        pem = authorities.decode("ascii") if b"-----BEGIN" in authorities else authorities
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as unusable:
        raise PrerequisiteError(
            "the file in SM_CA_FILE holds no certificate",
            code="CLIENT_CERTIFICATE_AUTHORITY",
            remedy="Give a PEM or DER file with the root (of your proxy, if it inspects TLS), or leave SM_CA_FILE out.",
        ) from unusable


def _check_valid(leaf: x509.Certificate, origin: str, advice: Advice) -> None:
    now = datetime.now(UTC)
    if leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        return
    raise PrerequisiteError(
        f"the client certificate {display_name(leaf)} in {origin} is valid from "
        f"{iso_utc(leaf.not_valid_before_utc)} to {iso_utc(leaf.not_valid_after_utc)}, not now",
        code="CLIENT_CERTIFICATE_EXPIRED",
        remedy=f"{advice.renewal}; else correct the clock.",
    )
