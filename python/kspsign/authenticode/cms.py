"""Building the CMS of an Authenticode signature (Windows Authenticode PE Signature Format, "Authenticode-Specific
Structures"): signed attributes first, the whole once signature and timestamp are there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms, core, x509

from kspsign.authenticode import asn1
from kspsign.model import DigestAlgorithm

_ECDSA = {
    DigestAlgorithm.SHA256: "sha256_ecdsa",
    DigestAlgorithm.SHA384: "sha384_ecdsa",
    DigestAlgorithm.SHA512: "sha512_ecdsa",
}


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A signature but for its value: the content (DER SpcIndirectDataContent) and the attributes to be signed."""

    algorithm: DigestAlgorithm
    indirect_data: bytes
    attributes: bytes

    @property
    def digest(self) -> bytes:
        """What the key store signs: the digest of the DER SET OF signed attributes (RFC 5652 §5.4)."""
        return hashlib.new(self.algorithm, self.attributes).digest()


def prepare(
    algorithm: DigestAlgorithm, indirect_data: bytes, *, description: str | None, description_url: str | None
) -> Unsigned:
    """The signed attributes for `indirect_data`: content type, statement type, opus info, message digest.

    No signing time: the timestamp states the time, and SignTool writes none either.
    """
    message_digest = hashlib.new(algorithm, _contents(indirect_data)).digest()
    attributes = asn1.Attributes(
        [
            _attribute(asn1.OID_CONTENT_TYPE, core.ObjectIdentifier(asn1.OID_SPC_INDIRECT_DATA)),
            _attribute(asn1.OID_SPC_STATEMENT_TYPE, asn1.ObjectIdentifiers([asn1.OID_SPC_INDIVIDUAL])),
            _attribute(asn1.OID_SPC_OPUS_INFO, _opus_info(description, description_url)),
            _attribute(asn1.OID_MESSAGE_DIGEST, core.OctetString(message_digest)),
        ]
    )
    return Unsigned(algorithm, indirect_data, bytes(attributes.dump()))


def assemble(
    unsigned: Unsigned,
    signature: bytes,
    chain: Sequence[bytes],
    *,
    key_is_ec: bool,
    token: bytes | None,
) -> bytes:
    """The DER ContentInfo. `chain` is leaf first; self-signed certificates are left out, verifiers hold their own.

    `token` is an RFC 3161 ContentInfo, kept as unsigned attribute 1.3.6.1.4.1.311.3.3.1.
    """
    leaf = x509.Certificate.load(chain[0])
    extra = [each for each in chain[1:] if not _self_signed(each)]
    signer: dict[str, Any] = {
        "version": 1,
        "sid": cms.SignerIdentifier(
            "issuer_and_serial_number",
            cms.IssuerAndSerialNumber({"issuer": leaf.issuer, "serial_number": leaf.serial_number}),
        ),
        "digest_algorithm": {"algorithm": unsigned.algorithm.value},
        "signed_attrs": asn1.Attributes.load(unsigned.attributes),
        "signature_algorithm": {"algorithm": _ECDSA[unsigned.algorithm] if key_is_ec else "rsassa_pkcs1v15"},
        "signature": signature,
    }
    if token is not None:
        signer["unsigned_attrs"] = asn1.Attributes([_attribute(asn1.OID_SPC_TIMESTAMP, core.load(token))])
    signed = asn1.SignedData(
        {
            "version": 1,
            "digest_algorithms": [{"algorithm": unsigned.algorithm.value}],
            "encap_content_info": {
                "content_type": asn1.OID_SPC_INDIRECT_DATA,
                "content": core.Any(core.load(unsigned.indirect_data).retag({"explicit": 0})),
            },
            "certificates": [core.Any(core.load(each)) for each in (chain[0], *extra)],
            "signer_infos": [signer],
        }
    )
    return bytes(asn1.ContentInfo({"content_type": asn1.OID_SIGNED_DATA, "content": signed}).dump())


def add_token(signature: bytes, token: bytes) -> bytes:
    """The ContentInfo `signature` with an RFC 3161 token added; everything signed keeps its bytes."""
    return _with_unsigned(signature, asn1.OID_SPC_TIMESTAMP, token)


def add_nested(signature: bytes, nested: bytes) -> bytes:
    """The ContentInfo `signature` with a further signature `nested` in it (unsigned attribute ...311.2.4.1)."""
    return _with_unsigned(signature, asn1.OID_SPC_NESTED_SIGNATURE, nested)


def _with_unsigned(signature: bytes, kind: str, value: bytes) -> bytes:
    info = asn1.ContentInfo.load(signature)
    signer = info["content"]["signer_infos"][0]
    present = signer["unsigned_attrs"]
    kept: list[asn1.Attribute] = []
    values = [core.load(value)]
    for attribute in () if isinstance(present, core.Void) else present:
        if attribute["type"].dotted == kind:
            values = [*(core.load(each.dump()) for each in attribute["values"]), *values]
        else:
            kept.append(attribute)
    signer["unsigned_attrs"] = asn1.Attributes([*kept, _attribute(kind, *values)])
    return bytes(info.dump())


def _attribute(kind: str, *values: core.Asn1Value) -> asn1.Attribute:
    return asn1.Attribute({"type": kind, "values": [core.Any(value) for value in values]})


def _opus_info(description: str | None, url: str | None) -> core.Asn1Value:
    if not description and not url:
        return core.load(b"\x30\x00")  # asn1crypto can't build a sequence without any field
    fields: dict[str, Any] = {}
    if description:
        fields["program_name"] = asn1.SpcString("unicode", core.BMPString(description))
    if url:
        fields["more_info"] = asn1.SpcLink("url", core.IA5String(url))
    return asn1.SpcOpusInfo(fields)


def _contents(der: bytes) -> bytes:
    return bytes(core.load(der).contents)


def _self_signed(der: bytes) -> bool:
    certificate = x509.Certificate.load(der)
    return bool(certificate.issuer == certificate.subject)
