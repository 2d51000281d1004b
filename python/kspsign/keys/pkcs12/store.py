"""The PKCS#12 key store: key and certificates from a password-protected file (RFC 7292, .p12 or .pfx)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12
from cryptography.x509.extensions import ExtensionNotFound
from pydantic import SecretStr

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.choice import superseded
from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.public_key import describe_key
from kspsign.keys.in_memory import IN_MEMORY, LocalKey, examine_test_signature, sign_digest
from kspsign.keys.pkcs12.options import Pkcs12Options
from kspsign.keys.prerequisites import (
    ALWAYS,
    CERTIFICATE,
    CREDENTIALS,
    KEY,
    NEWER,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine_certificate,
    examine_newer,
    failed,
    passed,
)
from kspsign.keys.protocol import KeyStore, Surroundings, reference_part, superseded_warning
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature

_ONLY_IN_HOUSE = (
    "a key in a PKCS#12 file is for in-house CAs and tests: since 2023-06-01 public CAs may issue code-signing "
    "certificates only for keys in hardware (CA/Browser Forum baseline requirements)"
)


_INDEFINITE = b"\x80"
_PFX = re.compile(rb"\x30(?P<length>[\x00-\x80]|\x81.|\x82..|\x83.{3}|\x84.{4})\x02\x01\x03\x30", re.DOTALL)
"""A SEQUENCE of any length that starts with version 3 and another SEQUENCE."""


class Pkcs12KeyStore(KeyStore):
    """A key pair read from a PKCS#12 file. `remarks` name a newer certificate of the key that the file holds too.

    The leaf is the certificate of the key. If the file has none for it, it is the file's end-entity
    certificate: the signer, which checks every signature against it, then reports that the key does not fit.
    """

    name: Final = "pkcs12"
    test_signing: Final = False
    capabilities: Final = IN_MEMORY

    def __init__(self, path: Path, key: LocalKey, chain: tuple[bytes, ...], remarks: tuple[str, ...] = ()) -> None:
        self._path = path
        self._remarks = remarks
        self._key = key
        self._chain = chain

    @classmethod
    def open(cls, options: Pkcs12Options, surroundings: Surroundings) -> Self:
        """Read the file that --pkcs12 names.

        Raises ConfigurationError when none is named; PrerequisiteError when the file is missing or no PKCS#12
        file, its password is missing or wrong, or it lacks a certificate or a private key that can be used.
        """
        if options.pkcs12 is None:
            raise ConfigurationError("key store pkcs12 needs its file", remedy="Name it with --pkcs12.")
        store = cls.read(options.pkcs12, options.password)
        surroundings.notice(_ONLY_IN_HOUSE)
        for remark in store._remarks:  # noqa: SLF001 - of this class
            surroundings.notice(superseded_warning(remark))
        return store

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: Pkcs12Options, _surroundings: Surroundings) -> Self:
        """Read the file that `reference` names; raises PrerequisiteError as `open` does."""
        return cls.read(Path(reference_part(reference, "file")), options.password)

    @classmethod
    def examine(cls, options: Pkcs12Options, _surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Whether the file opens with its password, its key signs, and its certificate is valid."""
        if options.pkcs12 is None:
            reason = "no file is named; --thumbprint means an earlier certsync, whose key only a run opens"
            yield from completed((*ALWAYS, NEWER, TEST_SIGNATURE), (), reason)
            return
        yield from completed((*ALWAYS, NEWER, TEST_SIGNATURE), cls._examined(options.pkcs12, options.password))

    @classmethod
    def _examined(cls, path: Path, password: SecretStr | None) -> Iterator[Prerequisite]:
        try:
            store = cls.read(path, password)
        except PrerequisiteError as error:
            lacking = {"NO_PRIVATE_KEY": KEY, "UNSUPPORTED_KEY": KEY, "NO_CERTIFICATE": CERTIFICATE}
            if error.code in lacking:
                yield passed(CREDENTIALS, f"{path} opens")
            yield failed(lacking.get(error.code, CREDENTIALS), error)
            return
        yield passed(CREDENTIALS, f"{path} opens{'' if password is None else ' with its password'}")
        yield from store._key_and_certificate()  # noqa: SLF001 - same class

    def _key_and_certificate(self) -> Iterator[Prerequisite]:
        yield passed(KEY, f"{describe_key(parse_certificate(self._chain[0]))}, in the file: for in-house CAs and tests")
        yield examine_test_signature(self._key, self._chain[0])
        yield examine_certificate(self._chain)
        yield examine_newer(self._remarks, superseded=bool(self._remarks))

    @classmethod
    def read(cls, path: Path, password: SecretStr | None) -> Self:
        """The store of this file. Raises PrerequisiteError as `open` does."""
        content = _load(path, None if password is None else password.get_secret_value())
        if not isinstance(content.key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise _wrong_key(path, content.key)
        given = [content.cert, *content.additional_certs] if content.cert else content.additional_certs
        certificates = [entry.certificate for entry in given]
        if not certificates:
            raise _unusable(path, "NO_CERTIFICATE", "holds no certificate", "Export it with its certificate chain.")
        leaf = _leaf(content.key, certificates)
        siblings = [certificate for certificate in certificates if _public_key(certificate) == _public_key(leaf)]
        remarks = superseded(leaf, siblings, datetime.now(UTC), str(path))
        return cls(path, content.key, ordered_chain(leaf.public_bytes(Encoding.DER), certificates), remarks)

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificates as DER, leaf first, as far as the file has them."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """The file, absolute."""
        return {"file": str(self._path.absolute())}

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest with the file's key; costs nothing. Raises SigningError."""
        return sign_digest(self._key, digest, algorithm)


def _load(path: Path, password: str | None) -> PKCS12KeyAndCertificates:
    try:
        content = path.read_bytes()
    except OSError as unreadable:
        remedy = "Correct --pkcs12; in a pipeline, download the secure file before this step."
        raise _unusable(path, "PKCS12_UNREADABLE", f"can't be read: {unreadable.strerror}", remedy) from unreadable
    _check_is_pkcs12(path, content)
    try:
        return decrypt(content, password)
    except ValueError as refused:
        if password is None:
            remedy = "Name the environment variable that holds the password with --password-env."
            raise _unusable(path, "PASSWORD_MISSING", "needs a password; none was given", remedy) from refused
        remedy = "Check the secret that --password-env names: a stale value, a trailing newline, a masked '***'."
        raise _unusable(path, "WRONG_PASSWORD", "is damaged or its password is wrong", remedy) from refused
    except UnsupportedAlgorithm as unknown:
        remedy = "Export it again with AES-256 and SHA-256, for instance with OpenSSL 3 or a current Windows."
        raise _unusable(
            path, "PKCS12_ENCRYPTION", f"is encrypted with an unknown method: {unknown}", remedy
        ) from unknown


def decrypt(content: bytes, password: str | None) -> PKCS12KeyAndCertificates:
    """The content of the file; raises ValueError for a wrong password, UnsupportedAlgorithm for an unknown
    encryption."""
    if password is not None and "\0" in password:
        raise ValueError("a password can't hold a NUL")  # the loader panics on it instead of raising
    with warnings.catch_warnings():
        # RFC 7292 §4 allows BER, which Java and Windows write; the loader reads it, but warns.
        warnings.filterwarnings("ignore", "PKCS#12 bundle could not be parsed as DER", UserWarning)
        return load_pkcs12(content, None if password is None else password.encode())


def is_pkcs12(content: bytes) -> bool:
    """Whether this is a PFX of version 3 in BER (RFC 7292 §4); a wrong password is reported only for such a file."""
    found = _PFX.match(content)
    if found is None:
        return False
    length = found["length"]
    if length == _INDEFINITE:
        return content.endswith(b"\0\0")
    size = length[0] if len(length) == 1 else int.from_bytes(length[1:])
    return found.end("length") + size == len(content)


def _check_is_pkcs12(path: Path, content: bytes) -> None:
    if not is_pkcs12(content):
        remedy = "Give the .p12 or .pfx file itself: not PEM, not base64, not a certificate without key."
        raise _unusable(path, "NOT_PKCS12", "is not a PKCS#12 file", remedy)


def _wrong_key(path: Path, key: object) -> PrerequisiteError:
    if key is None:
        return _unusable(path, "NO_PRIVATE_KEY", "holds no private key", "Export it with the private key.")
    return _unusable(
        path,
        "UNSUPPORTED_KEY",
        f"holds a key that Authenticode can't use ({type(key).__name__})",
        "Use a certificate with an RSA key of at least 2048 bits or a P-256, P-384 or P-521 key.",
    )


def _unusable(path: Path, code: str, what: str, remedy: str) -> PrerequisiteError:
    return PrerequisiteError(f"{path} {what}", code=code, remedy=remedy)


def _leaf(key: LocalKey, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    public = key.public_key()
    fitting = [certificate for certificate in certificates if _public_key(certificate) == public]
    end_entities = [certificate for certificate in certificates if not _is_ca(certificate)]
    return (fitting or end_entities or certificates)[0]


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None  # a key of a kind that the library does not know is not ours


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ExtensionNotFound, ValueError):
        return False
