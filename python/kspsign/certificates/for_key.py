"""The certificate of a known key, from files: what a key service that keeps no certificates leaves to its users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.choice import choose_newest, superseded
from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import display_name, thumbprint_of, to_der
from kspsign.certificates.public_key import describe_key
from kspsign.model.errors import PrerequisiteError

_SUFFIXES = frozenset({".cer", ".crt", ".der", ".p7b", ".p7c", ".pem"})
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class KeyCertificate:
    """The certificate of a key, all certificates that were there with it, and what to say of the choice.

    `superseded` is true when it was named although a newer one of the key is valid.
    """

    leaf: x509.Certificate
    others: tuple[x509.Certificate, ...]
    remarks: tuple[str, ...] = ()
    superseded: bool = False

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, as far as they were with it."""
        return ordered_chain(to_der(self.leaf), self.others)


def find_for_key(place: Path, public_key: bytes, key: str, thumbprint: str | None = None) -> KeyCertificate:
    """The newest valid certificate in `place` that has `public_key` (DER SubjectPublicKeyInfo), or the one named.

    `place` is a file (PEM, DER, PKCS#7) or a folder of such files; `key` names the key for people. Raises
    PrerequisiteError when there is none.
    """
    found = _read(place)
    wanted = _normalized(public_key)
    fitting = [certificate for certificate in found if _public_key(certificate) == wanted]
    if not fitting:
        raise _no_match(place, key, found)
    return _chosen(place, key, fitting, found, thumbprint)


def find_end_entity(place: Path, key: str, thumbprint: str | None = None) -> KeyCertificate:
    """The newest valid end-entity certificate in `place`, or the one named: for a key that shows its public key with a
    signature alone. Arguments and errors as of `find_for_key`."""
    found = _read(place)
    return _chosen(place, key, end_entities(found), found, thumbprint)


def _chosen(
    place: Path,
    key: str,
    fitting: Sequence[x509.Certificate],
    found: tuple[x509.Certificate, ...],
    thumbprint: str | None,
) -> KeyCertificate:
    now = datetime.now(UTC)
    where = f"{place} for {key}"
    if thumbprint is None:
        leaf, remarks = choose_newest(fitting, now, where)
        return KeyCertificate(leaf, found, remarks)
    named = [certificate for certificate in fitting if thumbprint_of(to_der(certificate)) == thumbprint]
    if not named:
        raise PrerequisiteError(
            f"{place} does not hold certificate {thumbprint} of {key}",
            code="CERTIFICATE_FILE",
            remedy="Correct --thumbprint or --certificate; without --thumbprint the newest valid certificate signs.",
        )
    leaf, _nothing_to_say = choose_newest(named, now, where)
    remarks = superseded(leaf, fitting, now, where)
    return KeyCertificate(leaf, found, remarks, bool(remarks))


def end_entities(found: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Those of `found` that issued none of the others; all of them where each did."""
    issuers = {certificate.issuer for certificate in found if certificate.issuer != certificate.subject}
    return [certificate for certificate in found if certificate.subject not in issuers] or list(found)


def _read(place: Path) -> tuple[x509.Certificate, ...]:
    if not place.is_dir():
        return tuple(dict.fromkeys(read_certificate_file(place)[1]))
    try:
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    except OSError as unreadable:
        raise PrerequisiteError(
            f"the folder {place} can't be read: {unreadable.strerror or unreadable}",
            code="CERTIFICATE_FILE",
            remedy="Give this user the right to read it, or name the certificate's file with --certificate.",
        ) from unreadable
    if not files:
        raise PrerequisiteError(
            f"the folder {place} holds no certificate file",
            code="CERTIFICATE_FILE",
            remedy=f"Put the certificate there, in a file that ends with {', '.join(sorted(_SUFFIXES))}.",
        )
    return tuple(dict.fromkeys(certificate for file in files for certificate in read_certificate_file(file)[1]))


def _no_match(place: Path, key: str, found: Sequence[x509.Certificate]) -> PrerequisiteError:
    leaves = end_entities(found)
    held = "; ".join(f"{display_name(leaf)} ({describe_key(leaf)})" for leaf in leaves[:_SHOWN])
    return PrerequisiteError(
        f"no certificate in {place} was issued for {key}; it holds {held}",
        code="KEY_MISMATCH",
        remedy="Name the certificate that the CA issued for this key with --certificate, or the key that it was "
        "issued for.",
    )


def _public_key(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None  # a key of a kind that the library does not know is not ours


def _normalized(public_key: bytes) -> bytes:
    """The same key as the library writes it, whatever encoding of parameters or points it came in."""
    return load_der_public_key(public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
