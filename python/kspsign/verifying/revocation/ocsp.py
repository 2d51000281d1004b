"""One OCSP request, and whether its response is acceptable (RFC 6960 §3.2, §4.2)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, OCSPExtensionOID

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.parse import display_name, extension
from kspsign.model.values import DigestAlgorithm
from kspsign.network.address import shown_url
from kspsign.network.fetch import fetch
from kspsign.network.pool import Pool
from kspsign.verifying.revocation.answers import (
    UNREADABLE,
    RevocationAnswer,
    check_critical,
    check_period,
    may_sign,
    revoked,
    undetermined,
)
from kspsign.verifying.strength import STRONG

MAX_REPLY = 1 << 17
_WITHOUT_NEXT_UPDATE = timedelta(days=1)
"""How long an answer counts that does not say (RFC 6960 §4.2.2.1: newer ones are always available)."""

VouchFor = Callable[[x509.Certificate, x509.Certificate], None]
"""Raises TrustError unless the first certificate, a responder's, is not revoked by the second, its CA's."""


def ask_responder(
    pool: Pool,
    url: str,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
    vouch_for: VouchFor,
) -> RevocationAnswer:
    """What the responder at `url` says of `certificate`.

    Raises TrustError (CRYPT_E_REVOCATION_OFFLINE) when nothing comes back, or nothing that counts.
    """
    nonce = secrets.token_bytes(16)
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303 - a name
    request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    reply = fetch(
        pool, url, MAX_REPLY, question=request.public_bytes(Encoding.DER), content_type="application/ocsp-request"
    )
    if isinstance(reply, str):
        raise undetermined(reply)
    try:
        return _read(f"OCSP {shown_url(url)}", reply, request, nonce, issuer, now, vouch_for)
    except UNREADABLE as broken:
        raise undetermined(f"its answer can't be read: {broken}") from broken


def _read(
    source: str,
    reply: bytes,
    request: ocsp.OCSPRequest,
    nonce: bytes,
    issuer: x509.Certificate,
    now: datetime,
    vouch_for: VouchFor,
) -> RevocationAnswer:
    response = ocsp.load_der_ocsp_response(reply)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise undetermined(f"it answered {response.response_status.name.lower()}")
    (single,) = _singles(response)
    about = single.issuer_name_hash, single.issuer_key_hash, single.serial_number
    if about != (request.issuer_name_hash, request.issuer_key_hash, request.serial_number):
        raise undetermined("its answer is about another certificate")
    _check_nonce(response, nonce)
    _check_signature(response, issuer, now, vouch_for)
    check_critical((*response.extensions, *response.single_extensions), {OCSPExtensionOID.NONCE})
    until = single.next_update_utc or single.this_update_utc + _WITHOUT_NEXT_UPDATE
    check_period(single.this_update_utc, until, now)
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        raise undetermined("it does not know the certificate")
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return RevocationAnswer(source, until, None)
    since = single.revocation_time_utc
    if since is None:
        raise undetermined("it says revoked, but not since when")
    return RevocationAnswer(source, until, revoked(since, single.revocation_reason, response.single_extensions))


def _singles(response: ocsp.OCSPResponse) -> list[ocsp.OCSPSingleResponse]:
    singles = list(response.responses)
    if len(singles) != 1:
        raise undetermined(f"it answers about {len(singles)} certificates where one was asked")
    return singles


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes) -> None:
    """Many responders prepare their answers and leave the nonce out (RFC 5019 §4); a wrong one is another's answer."""
    try:
        repeated = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if repeated != nonce:
        raise undetermined("it repeats another nonce: its answer belongs to another request")


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime, vouch_for: VouchFor) -> None:
    signer = issuer if _is_named(response, issuer) else _delegate(response, issuer, now)
    algorithm = response.signature_hash_algorithm
    digest = next(
        (strong for strong in STRONG.digests if algorithm is not None and strong.value == algorithm.name), None
    )
    if digest is None:
        raise undetermined("its answer is signed with an algorithm that is too weak or not supported")
    made_over = hashlib.new(digest, response.tbs_response_bytes).digest()
    if not signature_holds(signer.public_key(), response.signature, made_over, DigestAlgorithm(digest), None):
        raise undetermined(f"its answer is not signed by {display_name(signer)}")
    if signer is not issuer and extension(signer, x509.OCSPNoCheck) is None:
        vouch_for(signer, issuer)


def _is_named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return response.responder_key_hash == _key_hash(certificate)


def _key_hash(certificate: x509.Certificate) -> bytes:
    """SHA-1 of the subjectPublicKey's octets (RFC 6960 §4.2.1, byKey)."""
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


def _delegate(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> x509.Certificate:
    """The responder's certificate: the CA itself must have issued it, for OCSP (RFC 6960 §4.2.2.2)."""
    found = next((certificate for certificate in response.certificates if _is_named(response, certificate)), None)
    if found is None:
        raise undetermined("its answer names a responder whose certificate is not in it")
    try:
        found.verify_directly_issued_by(issuer)
    except InvalidSignature as wrong:
        raise undetermined(
            f"the responder {display_name(found)} was not authorised by {display_name(issuer)}"
        ) from wrong
    usages = extension(found, x509.ExtendedKeyUsage)
    allowed = usages is not None and ExtendedKeyUsageOID.OCSP_SIGNING in usages.value
    if not allowed or not may_sign(found, "digital_signature"):
        raise undetermined(f"the responder {display_name(found)} may not sign OCSP answers")
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        raise undetermined(f"the certificate of the responder {display_name(found)} is not valid now")
    if STRONG.key_weakness(found) or not STRONG.admits_signature_of(found):
        raise undetermined(f"the certificate of the responder {display_name(found)} is too weak")
    return found
