"""RFC 3161 timestamps: the query, and what makes a token worth embedding. Pure: no network here.

What is stamped is the signature value (authenticode: unsigned attribute 1.3.6.1.4.1.311.3.3.1).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asn1crypto import cms, tsp

from kspsign.authenticode import asn1
from kspsign.authenticode.algorithms import digest_algorithm
from kspsign.authenticode.signature import (
    SignedMessage,
    Signer,
    content_fault,
    find_signer,
    guarded,
    read_signed_message,
    read_signer,
    signer_fault,
    states_digest,
)
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Finding

_CHECK = "timestamp-structure"


@dataclass(frozen=True, slots=True)
class TimestampQuery:
    """A query as DER, and what its answer must repeat."""

    der: bytes
    algorithm: DigestAlgorithm
    imprint: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a token or counter-signature states, and what its checks saw (names start with "timestamp").

    `signer` is the authority's certificate (DER) or None when it is not in the token; `nonce` is None when absent.
    """

    time: datetime
    digest: DigestAlgorithm
    signer: bytes | None
    certificates: tuple[bytes, ...]
    nonce: int | None
    findings: tuple[Finding, ...]


def make_query(signature: bytes, algorithm: DigestAlgorithm) -> TimestampQuery:
    """A TimeStampReq (RFC 3161 §2.4.1) for `signature`, with certificates asked for and a 64-bit nonce."""
    imprint = hashlib.new(algorithm, signature).digest()
    nonce = secrets.randbits(63) | 1 << 62
    query = tsp.TimeStampReq(
        {
            "version": 1,
            "message_imprint": {"hash_algorithm": {"algorithm": algorithm.value}, "hashed_message": imprint},
            "nonce": nonce,
            "cert_req": True,
        }
    )
    return TimestampQuery(bytes(query.dump()), algorithm, imprint, nonce)


def read_token(token: bytes, signature: bytes) -> Timestamp:
    """The RFC 3161 token over `signature`. Raises TrustError when it can't be read at all."""
    message = guarded(lambda: read_signed_message(token), _CHECK)
    info = guarded(lambda: _tst_info(message), _CHECK)
    imprint = info["message_imprint"]
    algorithm = digest_algorithm(imprint["hash_algorithm"])
    signer = find_signer(message.signer, message.certificates)
    stamped = algorithm is not None and hashlib.new(algorithm, signature).digest() == imprint["hashed_message"].native
    fault = guarded(lambda: _token_fault(message, signer), _CHECK)
    findings = (
        _finding(
            "timestamp-imprint",
            None if stamped else "the token stamps another signature",
            "stamps this signature",
        ),
        _finding("timestamp-signature", fault, "fits the authority's certificate"),
    )
    nonce = info["nonce"].native
    return Timestamp(
        time=info["gen_time"].native.astimezone(UTC),
        digest=algorithm or DigestAlgorithm.SHA1,
        signer=signer,
        certificates=message.certificates,
        nonce=None if nonce is None else int(nonce),
        findings=findings,
    )


def read_counter_signature(der: bytes, signature: bytes, certificates: tuple[bytes, ...]) -> Timestamp:
    """A PKCS#9 counter-signature (RFC 2985 §5.3.6, the pre-RFC 3161 Authenticode timestamp) over `signature`.

    Its authority's certificates are among the outer signature's `certificates`.
    """
    info = guarded(lambda: read_signer(der), _CHECK)
    signer = find_signer(info, certificates)
    moment = guarded(lambda: _signing_time(info), _CHECK)
    algorithm = info.digest or DigestAlgorithm.SHA1
    stamped = states_digest(info, hashlib.new(algorithm, signature).digest())
    findings = (
        _finding("timestamp-imprint", None if stamped else "it covers another signature", "covers this signature"),
        _finding("timestamp-signature", signer_fault(info, signer), "fits the authority's certificate"),
    )
    return Timestamp(moment, algorithm, signer, certificates, None, findings)


def check_reply(reply: bytes, query: TimestampQuery, signature: bytes) -> tuple[bytes, Timestamp]:
    """The token in a TimeStampResp (RFC 3161 §2.4.2) and what it states.

    Raises TrustError when the server refused, or when imprint, nonce, signing certificate or signature of the
    token do not hold: nothing is embedded unchecked.
    """
    token = guarded(lambda: _granted_token(reply), _CHECK)
    stamp = read_token(token, signature)
    if stamp.digest is not query.algorithm:
        raise _refused("the token's imprint has another digest algorithm than was asked for")
    if stamp.nonce != query.nonce:
        raise _refused("the token does not repeat the nonce: it answers another query")
    for finding in stamp.findings:
        if finding.hresult is not None:
            raise _refused(finding.detail)
    return token, stamp


def _granted_token(reply: bytes) -> bytes:
    response = asn1.TimeStampResp.load(reply, strict=True)
    status = response["status"]
    if status["status"].native not in {"granted", "granted_with_mods"}:
        texts = status["status_string"].native or []
        reasons = sorted(status["fail_info"].native or [])
        raise _refused("; ".join([f"the server answered {status['status'].native}", *texts, *reasons]))
    return bytes(response["time_stamp_token"].dump())  # none at all can't be parsed, which is refused next


def _token_fault(message: SignedMessage, signer: bytes | None) -> str | None:
    if message.content_type != asn1.OID_TST_INFO:
        return f"the content is {message.content_type}, not TSTInfo"
    if message.version != 3 or message.signer.digest not in message.digest_algorithms:
        return "the token contradicts itself about its version or its digest algorithm"
    fault = content_fault(message) or signer_fault(message.signer, signer)
    if fault is None and signer is not None and not _names_certificate(message.signer, signer):
        fault = "the signingCertificate attribute names another certificate"
    return fault


def _names_certificate(info: Signer, certificate: bytes) -> bool:
    """ESSCertID (RFC 2634 §5.4.1) or ESSCertIDv2 (RFC 5035 §4): the first entry is the signer's certificate."""
    if values := info.signed_attributes.get(asn1.OID_SIGNING_CERTIFICATE_V2):
        first = tsp.SigningCertificateV2.load(values[0])["certs"][0]
        algorithm = digest_algorithm(first["hash_algorithm"])
    elif values := info.signed_attributes.get(asn1.OID_SIGNING_CERTIFICATE):
        first, algorithm = tsp.SigningCertificate.load(values[0])["certs"][0], DigestAlgorithm.SHA1
    else:
        return False
    return algorithm is not None and hashlib.new(algorithm, certificate).digest() == first["cert_hash"].native


def _tst_info(message: SignedMessage) -> Any:
    info = tsp.TSTInfo.load(message.content, strict=True)
    for name in ("message_imprint", "gen_time", "nonce"):
        _ = info[name].native  # asn1crypto parses lazily; a broken field must fail here
    return info


def _signing_time(info: Signer) -> datetime:
    moment: datetime = cms.Time.load(info.signed_attributes[asn1.OID_SIGNING_TIME][0]).native
    return moment.astimezone(UTC)


def _finding(check: str, fault: str | None, passed: str) -> Finding:
    return Finding(check, passed) if fault is None else Finding(check, fault, Hresult.TRUST_E_TIME_STAMP)


def _refused(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_TIME_STAMP, detail, check=_CHECK)
