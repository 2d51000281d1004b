"""Finds the certificates of a token's key: by its public half, else by CKA_ID and label (PKCS #11 2.40, §4)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kspsign.certificates import der
from kspsign.certificates.choice import choose_newest
from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import parse_certificate, to_der
from kspsign.keys.pkcs11 import cryptoki
from kspsign.keys.pkcs11.isolated import IsolatedModule
from kspsign.keys.pkcs11.token import Address
from kspsign.model.errors import PrerequisiteError, TrustError

_BARE_POINTS = frozenset({65, 97, 133})
"""Bytes of an uncompressed point of P-256, P-384 and P-521."""
Chosen = tuple[x509.Certificate, tuple[str, ...], Sequence[x509.Certificate]]
"""The certificate to sign with, what to say of the choice, and the others that are there."""


def certificates_for(
    module: IsolatedModule,
    session: int,
    key: int,
    address: Address,
    *,
    file: Path | None,
    sha256: str | None,
    now: datetime,
) -> Chosen:
    """The certificate for the key: from `file` if given, else the newest valid one on the token; or exactly `sha256`.

    Raises PrerequisiteError when there is none.
    """
    on_token = _certificates(module, session)
    public = _PublicPart.read(module, session, key)
    if file is not None:
        leaf, others = read_certificate_file(file)
        chosen, remarks = choose_newest([parse_certificate(leaf)], now, f"{file}")
        if not public.may_be_that_of(chosen):
            raise PrerequisiteError(
                f"the certificate in {file} is not the one of {address.key}",
                code="KEY_MISMATCH",
                remedy="Name the certificate that was issued for this key with --certificate, or its own key.",
            )
        return chosen, remarks, (*others, *(certificate for _, certificate in on_token))
    everything = [certificate for _, certificate in on_token]
    if sha256 is not None:
        same = [certificate for certificate in everything if hashlib.sha256(to_der(certificate)).hexdigest() == sha256]
        if same:
            return same[0], (), everything
    fitting = [certificate for certificate in everything if public.is_that_of(certificate)]
    if not public.known:
        key_id = module.attribute(session, key, cryptoki.CKA_ID)
        label = module.attribute(session, key, cryptoki.CKA_LABEL)
        by_id = [certificate for attributes, certificate in on_token if key_id and attributes[0] == key_id]
        by_label = [certificate for attributes, certificate in on_token if label and attributes[1] == label]
        fitting = [certificate for certificate in by_id or by_label if public.may_be_that_of(certificate)]
    if not fitting:
        raise PrerequisiteError(
            f"the token holds no certificate for {address.key}",
            code="PKCS11_NO_CERTIFICATE",
            remedy="Name the certificate's file (with its chain) with --certificate, or write it to the token with the "
            "key's CKA_ID or label.",
        )
    chosen, remarks = choose_newest(fitting, now, address.key)
    return chosen, remarks, everything


def _certificates(
    module: IsolatedModule, session: int
) -> list[tuple[tuple[bytes | None, bytes | None], x509.Certificate]]:
    """All certificates on the token that can be read, each with its CKA_ID and CKA_LABEL."""
    found = []
    for handle in module.find(session, cryptoki.CKO_CERTIFICATE, {}):
        try:
            parsed = parse_certificate(module.attribute(session, handle, cryptoki.CKA_VALUE) or b"")
        except TrustError:
            continue  # a damaged one, or one of another kind than X.509, is not ours
        attributes = [module.attribute(session, handle, kind) for kind in (cryptoki.CKA_ID, cryptoki.CKA_LABEL)]
        found.append(((attributes[0], attributes[1]), parsed))
    return found


@dataclass(frozen=True, slots=True)
class _PublicPart:
    """What is known of the key's public half: an RSA key's modulus, or an EC key's point (uncompressed)."""

    rsa: bool
    value: int | bytes | None

    @classmethod
    def read(cls, module: IsolatedModule, session: int, key: int) -> Self:
        """A private EC key seldom has its point: that of the public key of the same id or label counts too."""
        kind = module.attribute(session, key, cryptoki.CKA_KEY_TYPE)
        is_rsa = kind is not None and int.from_bytes(kind, sys.byteorder) == cryptoki.CKK_RSA
        plain: Callable[[bytes], int | bytes] = int.from_bytes if is_rsa else _uncompressed
        wanted = cryptoki.CKA_MODULUS if is_rsa else cryptoki.CKA_EC_POINT
        values = [module.attribute(session, key, wanted)]
        if not (is_rsa and values[0]):
            for name in (cryptoki.CKA_ID, cryptoki.CKA_LABEL):
                value = module.attribute(session, key, name)
                twins = module.find(session, cryptoki.CKO_PUBLIC_KEY, {name: value}) if value else ()
                values += [module.attribute(session, twin, wanted) for twin in twins]
        known = {plain(value) for value in values if value}
        return cls(is_rsa, known.pop() if len(known) == 1 else None)

    @property
    def known(self) -> bool:
        """Whether that is enough to recognise the key's certificate by it."""
        return self.value is not None

    def is_that_of(self, candidate: x509.Certificate) -> bool:
        """Whether the certificate's key is this one, for certain."""
        return self.known and self.may_be_that_of(candidate)

    def may_be_that_of(self, candidate: x509.Certificate) -> bool:
        """Whether the certificate's key can be this one, as far as the token says."""
        try:
            public = candidate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            return False
        if self.rsa and isinstance(public, rsa.RSAPublicKey):
            return self.value in {None, public.public_numbers().n}
        if not self.rsa and isinstance(public, ec.EllipticCurvePublicKey):
            return self.value in {None, public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)}
        return False


def _uncompressed(point: bytes) -> bytes:
    """CKA_EC_POINT is the DER of an OCTET STRING (PKCS #11 §2.3.3); some modules leave that wrapping out."""
    if len(point) in _BARE_POINTS:
        return point
    try:
        return bytes(der.parse(point, der.OCTET_STRING).content)
    except TrustError:
        return point
