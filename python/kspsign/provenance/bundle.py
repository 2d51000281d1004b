"""The signed statement as a Sigstore bundle v0.3 (JSON): DSSE envelope, certificate chain, RFC 3161 timestamp.

Sources: secure-systems-lab/dsse, protocol.md and envelope.md; sigstore/protobuf-specs, sigstore_bundle.proto (chains
are for private authorities, such as a code-signing CA) and sigstore_common.proto (a timestamp is a whole TimeStampResp,
RFC 3161 §2.4.2).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.certificates import der
from kspsign.certificates.parse import parse_certificate
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from kspsign.provenance.strict_json import refused, strict_json

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_BUNDLE: Final = 256 << 20
_CHAIN: Final = 20
_MAX_PARTS: Final = 1000
"""Commas in a bundle, whose base64 has none: a text of millions of small values takes memory many times its size."""
_BY_CURVE: Final = {"secp384r1": DigestAlgorithm.SHA384, "secp521r1": DigestAlgorithm.SHA512}


class SignedStatement(NamedTuple):
    """A payload and its signature; `chain` is DER, leaf first. `token` is the RFC 3161 token (DER), None without."""

    payload: bytes
    signature: bytes
    chain: tuple[bytes, ...]
    token: bytes | None


def encoded_to_sign(payload: bytes) -> bytes:
    """The pre-authentication encoding (PAE), which is what the signature covers."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def algorithm_of(leaf: bytes) -> DigestAlgorithm:
    """The digest that verifiers of DSSE use with the key of the certificate `leaf`: SHA-256, but with the larger
    curves their own."""
    key = parse_certificate(leaf).public_key()
    return (
        _BY_CURVE.get(key.curve.name, DigestAlgorithm.SHA256)
        if isinstance(key, ec.EllipticCurvePublicKey)
        else (DigestAlgorithm.SHA256)
    )


def digest_to_sign(payload: bytes, algorithm: DigestAlgorithm) -> bytes:
    """The digest that the key signs."""
    return hashlib.new(algorithm.value, encoded_to_sign(payload)).digest()


def bundle_text(signed: SignedStatement) -> str:
    """The bundle as JSON."""
    material: dict[str, Any] = {
        "x509CertificateChain": {"certificates": [{"rawBytes": _text(certificate)} for certificate in signed.chain]},
        "tlogEntries": [],
    }
    if signed.token is not None:
        answer = der.sequence(der.sequence(der.integer(0)), signed.token)
        material["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": _text(answer)}]}
    envelope = {
        "payload": _text(signed.payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _text(signed.signature), "keyid": ""}],
    }
    content = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(content, indent=1) + "\n"


def read_bundle(text: bytes) -> SignedStatement:
    """What a bundle holds; nothing of it is verified yet. Raises TrustError for anything that `bundle_text` does not
    write: more than one signature, another payload type, entries of a log that no one here checks."""
    if len(text) > MAX_BUNDLE:
        raise refused("it is larger than a bundle can be")
    if text.count(b",") > _MAX_PARTS:
        raise refused("it has more parts than a bundle can have")
    content = strict_json(text)
    material, envelope = _object(content, "mediaType", "verificationMaterial", "dsseEnvelope")[1:]
    if content["mediaType"] != MEDIA_TYPE:
        raise refused(f"it is not a bundle of the media type {MEDIA_TYPE}")
    chain = _chain(material)
    token = _token(material)
    payload, kind, signatures = _object(envelope, "payload", "payloadType", "signatures")
    if kind != PAYLOAD_TYPE:
        raise refused(f"its payload is of another type than {PAYLOAD_TYPE}")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise refused("it does not have exactly one signature")
    signature, key = _object(signatures[0], "sig", "keyid")
    if key != "":
        raise refused("its signature names a key besides the certificate")
    return SignedStatement(_bytes(payload), _bytes(signature), chain, token)


def _chain(material: object) -> tuple[bytes, ...]:
    names = ["x509CertificateChain", "tlogEntries"]
    if isinstance(material, Mapping) and "timestampVerificationData" in material:
        names.append("timestampVerificationData")
    chained, entries, *_rest = _object(material, *names)
    if entries != []:
        raise refused("it has entries of a transparency log, which are not checked here")
    (certificates,) = _object(chained, "certificates")
    if not isinstance(certificates, list) or not 0 < len(certificates) <= _CHAIN:
        raise refused("it has no certificate, or too many")
    chain = tuple(_bytes(_object(certificate, "rawBytes")[0]) for certificate in certificates)
    if len(set(chain)) != len(chain):
        raise refused("a certificate comes twice")
    return chain


def _token(material: Mapping[str, Any]) -> bytes | None:
    if "timestampVerificationData" not in material:
        return None
    (stamps,) = _object(material["timestampVerificationData"], "rfc3161Timestamps")
    if not isinstance(stamps, list) or len(stamps) != 1:
        raise refused("it does not have exactly one timestamp")
    answer = _bytes(_object(stamps[0], "signedTimestamp")[0])
    try:
        status, token = der.parse(answer).children()
    except (TrustError, ValueError) as broken:
        raise refused("its timestamp is not a response of a timestamp server") from broken
    if status.der != der.sequence(der.integer(0)):
        raise refused("its timestamp was not granted")
    return token.der


def _object(value: object, *names: str) -> tuple[Any, ...]:
    """The values of an object that has these keys and no others."""
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise refused(f"a part of it does not have exactly the keys {', '.join(names)}")
    return tuple(value[name] for name in names)


def _bytes(value: object) -> bytes:
    """Base64 as `_text` writes it: one text for the same bytes, so that the bits that fill up the end are zero."""
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True) if isinstance(value, str) else b""
    except ValueError as broken:
        raise refused("a part of it is not base64") from broken
    if not data or _text(data) != value:
        raise refused("a part of it is not base64")
    return data


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
