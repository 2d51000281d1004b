"""Answers a timestamp request (RFC 3161 §2.4): a token, or a PKIFailureInfo that says why not.

Bytes in, bytes out: no clock, no network.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority

POLICY = "2.999.1.3161"
"""The policy that tokens state: an OID of the arc for examples (ITU-T X.660), as nothing is promised."""

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_ACCURACY_SECONDS = 1
_MALFORMED = (ValueError, TypeError, OverflowError, AttributeError, IndexError, KeyError)
"""What asn1crypto raises on damaged DER; its own promise is ValueError only."""


class _Rejection(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    """TimeStampResp without its optional token, which asn1crypto's own structure insists on."""

    _fields: ClassVar = [("status", tsp.PKIStatusInfo)]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a request gets no token; `failure` is the PKIFailureInfo bit (RFC 3161 §2.4.2)."""

    failure: str
    reason: str


def respond(request: bytes, authority: EmbeddedAuthority, now: datetime) -> bytes:
    """The DER TimeStampResp for a DER TimeStampReq, stamped with `now` (timezone-aware, cut to seconds)."""
    parsed = _parse(request)
    if isinstance(parsed, _Refusal):
        status = {"status": "rejection", "status_string": [parsed.reason], "fail_info": {parsed.failure}}
        return bytes(_Rejection({"status": status}).dump())
    token = _token(parsed, authority, now.replace(microsecond=0))
    return bytes(tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump())


def _parse(request: bytes) -> tsp.TimeStampReq | _Refusal:
    try:
        parsed = tsp.TimeStampReq.load(request, strict=True)
        values = parsed.native  # asn1crypto parses lazily: this reaches every field
    except _MALFORMED:
        return _Refusal("bad_data_format", "the request is no DER TimeStampReq")
    refusal = _objection(values)
    return parsed if refusal is None else refusal


def _objection(values: Mapping[str, Any]) -> _Refusal | None:
    if values["version"] != "v1":
        return _Refusal("bad_request", "only version 1 of the request is known")
    if values["extensions"]:
        return _Refusal("unaccepted_extensions", "no request extension is known")
    imprint = values["message_imprint"]
    algorithm = imprint["hash_algorithm"]
    if algorithm["algorithm"] not in _HASHES or algorithm["parameters"] is not None:
        return _Refusal("bad_alg", f"the imprint must be one of {', '.join(_HASHES)}")
    if len(imprint["hashed_message"]) != _HASHES[algorithm["algorithm"]].digest_size:
        return _Refusal("bad_data_format", "the imprint's length is not that of its algorithm")
    if values["req_policy"] not in {None, POLICY}:
        return _Refusal("unaccepted_policy", f"the only policy is {POLICY}")
    return None


def _token(request: tsp.TimeStampReq, authority: EmbeddedAuthority, now: datetime) -> cms.ContentInfo:
    """The TimeStampToken (RFC 3161 §2.4.2): a SignedData (RFC 5652 §5.1) around the TSTInfo, one signer."""
    certificate = asn1_x509.Certificate.load(authority.timestamp.certificate.public_bytes(Encoding.DER))
    algorithm: str = request["message_imprint"]["hash_algorithm"]["algorithm"].native
    content = _info(request, certificate, now).dump()
    attributes = _signed_attributes(certificate, hashlib.new(algorithm, content).digest(), now)
    signature = authority.timestamp.key.sign(attributes.dump(), PKCS1v15(), _HASHES[algorithm])
    signer = _encoded(
        cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.IssuerAndSerialNumber(
                    {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                ),
                "digest_algorithm": algos.DigestAlgorithm({"algorithm": algorithm}),
                "signed_attrs": attributes,
                "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "rsassa_pkcs1v15"}),
                "signature": signature,
            }
        )
    )
    signed = {
        "version": "v3",
        "digest_algorithms": [algos.DigestAlgorithm({"algorithm": algorithm})],
        "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
        "signer_infos": [signer],
    }
    if request["cert_req"].native:
        signed["certificates"] = [certificate]
    return cms.ContentInfo({"content_type": "signed_data", "content": _encoded(cms.SignedData(signed))})


def _info(request: tsp.TimeStampReq, certificate: asn1_x509.Certificate, now: datetime) -> tsp.TSTInfo:
    info = {
        "version": "v1",
        "policy": POLICY,
        "message_imprint": request["message_imprint"],
        "serial_number": secrets.randbits(127) | 1 << 127,
        "gen_time": now,
        "accuracy": {"seconds": _ACCURACY_SECONDS},
        "tsa": asn1_x509.GeneralName(name="directory_name", value=certificate.subject),
    }
    if request["nonce"].native is not None:
        info["nonce"] = request["nonce"]
    return tsp.TSTInfo(info)


def _signed_attributes(certificate: asn1_x509.Certificate, digest: bytes, now: datetime) -> cms.CMSAttributes:
    """contentType, messageDigest, signingTime (RFC 5652 §11) and signingCertificateV2 (RFC 5035 §3)."""
    issuer = asn1_x509.GeneralName(name="directory_name", value=certificate.issuer)
    identifier = tsp.ESSCertIDv2(
        {
            "cert_hash": hashlib.sha256(certificate.dump()).digest(),
            "issuer_serial": {"issuer": [issuer], "serial_number": certificate.serial_number},
        }
    )
    values = {
        "content_type": "tst_info",
        "message_digest": digest,
        "signing_time": cms.Time({"utc_time": now}),
        "signing_certificate_v2": _encoded(tsp.SigningCertificateV2({"certs": [identifier]})),
    }
    return _encoded(
        cms.CMSAttributes(
            [_encoded(cms.CMSAttribute({"type": name, "values": [value]})) for name, value in values.items()]
        )
    )


def _encoded(value: core.Asn1Value) -> core.Asn1Value:
    """The same value read back from its DER, which it then keeps.

    asn1crypto encodes and sorts what was built in Python anew in each dump around it: several times slower.
    """
    return type(value).load(value.dump())
