"""RFC 3161 timestamps: the query, and what makes a token worth embedding. Pure: no network here.

What is stamped is the signature value (authenticode: unsigned attribute 1.3.6.1.4.1.311.3.3.1).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.account import NOTHING, Carries, list_refused
from kspsign.authenticode.cms.algorithms import (
    Scheme,
    algorithm_identifier,
    bare_signature_holds,
    digest_algorithm,
)
from kspsign.authenticode.cms.read import read_signed_message, read_signer
from kspsign.authenticode.cms.signature import (
    SignedMessage,
    Signer,
    content_fault,
    find_signer,
    signer_fault,
    states_digest,
)
from kspsign.certificates import der
from kspsign.certificates.names import alternative_names, same_name
from kspsign.certificates.parse import outline, parse_certificate
from kspsign.model.checks import CheckName
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

_TOKEN = Carries(clock_certificate=True)
"""What a token carries unsigned: nothing, but the certificate of its authority's clock."""
_DIRECTORY_NAME = b"\xa4"
_TRUE = der.element(der.BOOLEAN, b"\xff")
_STATUS = ("granted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification")
_GRANTED = frozenset({0, 1})
_FAILURES = {
    0: "badAlg",
    2: "badRequest",
    5: "badDataFormat",
    14: "timeNotAvailable",
    15: "unacceptedPolicy",
    16: "unacceptedExtension",
    17: "addInfoNotAvailable",
    25: "systemFailure",
}
_CERTIFICATE_IDS = {
    oids.OID_SIGNING_CERTIFICATE_V2: DigestAlgorithm.SHA256,
    oids.OID_SIGNING_CERTIFICATE: DigestAlgorithm.SHA1,
}
"""Attributes that name the signer's certificate, and the digest that they use unless they name another."""


class TimestampQuery(NamedTuple):
    """A query as DER, and what its answer must repeat."""

    der: bytes
    algorithm: DigestAlgorithm
    imprint: bytes
    nonce: int


class Timestamp(NamedTuple):
    """What a token or counter-signature states, and what its checks saw (names start with "timestamp").

    `digest_algorithm` is the imprint's, `signer_digest_algorithm` what the token itself is signed over (None: one that
    we don't know). `signer` is the authority's certificate (DER) or None when it is not in the token; `nonce` is None
    when absent.
    """

    time: datetime
    digest_algorithm: DigestAlgorithm
    signer_digest_algorithm: DigestAlgorithm | None
    signer: bytes | None
    certificates: tuple[bytes, ...]
    nonce: int | None
    findings: tuple[Finding, ...]


def make_query(signature: bytes, algorithm: DigestAlgorithm) -> TimestampQuery:
    """A TimeStampReq (RFC 3161 §2.4.1) for `signature`, with certificates asked for and a 64-bit nonce."""
    imprint = hashlib.new(algorithm, signature).digest()
    nonce = secrets.randbits(63) | 1 << 62
    query = der.sequence(
        der.integer(1),
        der.sequence(algorithm_identifier(algorithm), der.octet_string(imprint)),
        der.integer(nonce),
        _TRUE,
    )
    return TimestampQuery(query, algorithm, imprint, nonce)


def read_token(token: bytes, signature: bytes) -> Timestamp:
    """The RFC 3161 token over `signature`. Raises TrustError when it can't be read at all."""
    message, info, signer, fault = _token(token)
    stamped = info.algorithm is not None and hashlib.new(info.algorithm, signature).digest() == info.imprint
    stray = None if stamped else "the token is for another signature"
    if info.algorithm is None:
        stray = "its imprint has a digest algorithm that is not supported (SHA-256, SHA-384 and SHA-512 are)"
    findings = (
        _structure_finding((*message.refused, *message.signer.refused)),
        _finding("timestamp-imprint", stray, "stamps this signature"),
        _finding("timestamp-signature", fault, "fits the authority's certificate"),
    )
    return Timestamp(
        time=info.time,
        digest_algorithm=info.algorithm or DigestAlgorithm.SHA1,
        signer_digest_algorithm=message.signer.digest_algorithm,
        signer=signer,
        certificates=message.certificates,
        nonce=info.nonce,
        findings=findings,
    )


def read_counter_signature(data: bytes, signature: bytes, certificates: tuple[bytes, ...]) -> Timestamp:
    """A PKCS#9 counter-signature (RFC 2985 §5.3.6, the pre-RFC 3161 Authenticode timestamp) over `signature`.

    Its authority's certificates are among the outer signature's `certificates`.
    """
    info = read_signer(data, NOTHING)
    signer = find_signer(info, certificates)
    moment = _signing_time(info)
    algorithm = info.digest_algorithm or DigestAlgorithm.SHA1
    stamped = states_digest(info, hashlib.new(algorithm, signature).digest())
    findings = (
        _structure_finding(info.refused),
        _finding("timestamp-imprint", None if stamped else "it covers another signature", "covers this signature"),
        _finding("timestamp-signature", _counter_fault(info, signer), "fits the authority's certificate"),
    )
    return Timestamp(moment, algorithm, info.digest_algorithm, signer, certificates, None, findings)


def check_reply(reply: bytes, query: TimestampQuery, signature: bytes) -> tuple[bytes, Timestamp]:
    """The token in a TimeStampResp (RFC 3161 §2.4.2) and what it states.

    Raises TrustError when the server refused, or when imprint, nonce, signing certificate or signature of the
    token do not hold: nothing is embedded unchecked.
    """
    token = _granted_token(reply)
    stamp = read_token(token, signature)
    if stamp.digest_algorithm is not query.algorithm:
        raise _refused("the token's imprint has another digest algorithm than was asked for")
    if stamp.nonce != query.nonce:
        raise _refused("the token does not repeat the nonce: it answers another query")
    for finding in stamp.findings:
        if finding.hresult is not None:
            raise _refused(finding.detail)
    return token, stamp


def _granted_token(reply: bytes) -> bytes:
    fields = der.parse(reply).fields()
    status, token = fields.take(der.SEQUENCE).fields(), fields.optional(der.SEQUENCE)
    fields.end()
    number = der.integer_of(status.take(der.INTEGER))
    texts, failure = status.optional(der.SEQUENCE), status.optional(der.BIT_STRING)
    status.end()
    if number not in _GRANTED:
        said = [child.content.decode("utf-8", "replace") for child in (texts.children() if texts else ())]
        named = _STATUS[number] if 0 <= number < len(_STATUS) else f"status {number}"
        raise _refused("; ".join([f"the server answered {named}", *said, *_reasons(failure)]))
    if token is None:
        raise _refused("the server granted a token but sent none")
    return token.der


def _reasons(failure: der.Element | None) -> list[str]:
    """The names of a PKIFailureInfo's bits (RFC 3161 §2.4.2)."""
    bits = int.from_bytes(failure.content[1:5].ljust(4, b"\0")) if failure else 0
    return [name for bit, name in _FAILURES.items() if bits & 1 << (31 - bit)]


def _token_fault(message: SignedMessage, signer: bytes | None) -> str | None:
    if message.content_type != oids.OID_TST_INFO:
        return f"the content is {message.content_type}, not TSTInfo"
    if message.version != 3:
        return f"the token has version {message.version}, not 3"
    fault = content_fault(message) or signer_fault(message.signer, signer)
    if fault is None and signer is not None and not names_certificate(message.signer, signer):
        fault = "the signingCertificate attribute names another certificate"
    return fault


def names_certificate(info: Signer, certificate: bytes) -> bool:
    """ESSCertID (RFC 2634 §5.4.1) or ESSCertIDv2 (RFC 5035 §4): the first entry is the signer's certificate, in each of
    the two attributes that is there."""
    named = [
        _names(value, default, certificate)
        for kind, default in _CERTIFICATE_IDS.items()
        for value in info.signed_attributes.get(kind, ())[:1]
    ]
    return bool(named) and all(named)


def _names(value: bytes, default: DigestAlgorithm, certificate: bytes) -> bool:
    """Whether the first entry has the certificate's digest and, where it has an IssuerSerial, its issuer and serial
    number."""
    entries = der.parse(value).fields().take(der.SEQUENCE).children()
    if not entries:
        return False
    fields = entries[0].fields()
    named = fields.optional(der.SEQUENCE)
    algorithm = default if named is None else digest_algorithm(named.der)
    stated, issued = fields.take(der.OCTET_STRING).content, fields.optional(der.SEQUENCE)
    if algorithm is None or hashlib.new(algorithm, certificate).digest() != stated:
        return False
    return issued is None or _is_issued_as(issued.fields(), certificate)


def _is_issued_as(stated: der.Fields, certificate: bytes) -> bool:
    issuers, serial = stated.take(der.SEQUENCE).children(), stated.take(der.INTEGER)
    expected = outline(certificate)
    return serial.der == expected.serial and any(
        issuer.tag == _DIRECTORY_NAME[0] and same_name(issuer.first().der, expected.issuer) for issuer in issuers
    )


class _TstInfo(NamedTuple):
    """What of a TSTInfo is checked; `algorithm` None is one that we don't know, `authority` a GeneralName."""

    algorithm: DigestAlgorithm | None
    imprint: bytes
    time: datetime
    nonce: int | None
    authority: bytes | None


class _Token(NamedTuple):
    """A parsed token; `fault` is why its signature is not valid, None when it is."""

    message: SignedMessage
    info: _TstInfo
    signer: bytes | None
    fault: str | None


@lru_cache(maxsize=256)
def _token(token: bytes) -> _Token:
    """Every token comes twice, from its server and in the file that is read back: the same bytes are read once."""
    message = read_signed_message(token, _TOKEN)
    signer = find_signer(message.signer, message.certificates)
    info = _tst_info(message)
    return _Token(message, info, signer, _token_fault(message, signer) or _authority_fault(info, signer))


def _tst_info(message: SignedMessage) -> _TstInfo:
    """TSTInfo (RFC 3161 §2.4.2)."""
    fields = der.parse(message.content).fields()
    version, _policy, imprint = fields.take(der.INTEGER), fields.take(der.OID), fields.take(der.SEQUENCE).fields()
    _serial, time = fields.take(der.INTEGER), fields.take(der.GENERALIZED_TIME)
    _accuracy, _ordering, nonce = (fields.optional(tag) for tag in (der.SEQUENCE, der.BOOLEAN, der.INTEGER))
    authority, extensions = fields.optional(0xA0), fields.optional(0xA1)
    fields.end()
    if der.integer_of(version) != 1:
        raise _refused(f"TSTInfo of version {der.integer_of(version)}")
    if extensions is not None:
        _check_extensions(extensions)
    algorithm, digest = imprint.take(der.SEQUENCE), imprint.take(der.OCTET_STRING)
    imprint.end()
    return _TstInfo(
        algorithm=digest_algorithm(algorithm.der),
        imprint=digest.content,
        time=der.time_of(time),
        nonce=None if nonce is None else der.integer_of(nonce),
        authority=None if authority is None else authority.content,
    )


def _check_extensions(extensions: der.Element) -> None:
    """None is known here, so none may be critical (RFC 3161 §2.4.2, RFC 5280 §4.2)."""
    for extension in extensions.children():
        fields = extension.fields()
        kind, critical = der.oid_of(fields.take(der.OID)), fields.optional(der.BOOLEAN)
        fields.take(der.OCTET_STRING)
        fields.end()
        if critical is not None and critical.content != b"\0":
            raise _refused(f"it has a critical extension that is not known: {kind}")


def _authority_fault(info: _TstInfo, signer: bytes | None) -> str | None:
    """Why the authority that the token names is not the one of the certificate (RFC 3161 §2.4.2, tsa)."""
    if info.authority is None or signer is None:
        return None
    if info.authority[:1] == _DIRECTORY_NAME:
        named = der.parse(info.authority, _DIRECTORY_NAME[0]).first().der
        if same_name(named, outline(signer).subject):
            return None
    if info.authority in alternative_names(signer):
        return None
    return "the token names another authority than the one whose certificate signed it"


def _counter_fault(info: Signer, signer: bytes | None) -> str | None:
    """As signer_fault. What is signed over SHA-1 may be the bare digest: it counts where SHA-1 does."""
    fault = signer_fault(info, signer)
    if fault is None or signer is None or (info.digest_algorithm, info.scheme) != (DigestAlgorithm.SHA1, Scheme.RSA):
        return fault
    key = parse_certificate(signer).public_key()
    return None if bare_signature_holds(key, info.value, info.signed_digest()) else fault


def _signing_time(info: Signer) -> datetime:
    values = info.signed_attributes.get(oids.OID_SIGNING_TIME, ())
    if len(values) != 1:
        raise _refused("it states no time")
    return der.time_of(der.parse(values[0], values[0][0]))


def _structure_finding(refused: Sequence[str]) -> Finding:
    """The check "timestamp-structure"."""
    if not refused:
        return Finding("timestamp-structure", "carries nothing unsigned")
    return Finding("timestamp-structure", list_refused(refused), Hresult.TRUST_E_MALFORMED_SIGNATURE)


def _finding(check: CheckName, fault: str | None, passed: str) -> Finding:
    return Finding(check, passed) if fault is None else Finding(check, fault, Hresult.TRUST_E_TIME_STAMP)


def _refused(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_TIME_STAMP, detail, check="timestamp")
