"""ASN.1 structures of CMS (RFC 5652 §5) and Authenticode for asn1crypto: how tests change a signature at one place.

asn1crypto's own CMS classes turn unknown content and attributes away.
"""

from __future__ import annotations

from asn1crypto import algos, cms, core, tsp


class ObjectIdentifiers(core.SequenceOf):  # type: ignore[misc]
    """SEQUENCE OF OBJECT IDENTIFIER (SpcStatementType)."""

    _child_spec = core.ObjectIdentifier


class AnySet(core.SetOf):  # type: ignore[misc]
    """SET OF ANY; elements keep their bytes."""

    _child_spec = core.Any


class Attribute(core.Sequence):  # type: ignore[misc]
    """Attribute (RFC 5652 §5.3) with untyped values."""

    _fields = [("type", core.ObjectIdentifier), ("values", AnySet)]


class Attributes(core.SetOf):  # type: ignore[misc]
    """SET OF Attribute."""

    _child_spec = Attribute


class SignerInfo(core.Sequence):  # type: ignore[misc]
    """SignerInfo (RFC 5652 §5.3)."""

    _fields = [
        ("version", core.Integer),
        ("sid", cms.SignerIdentifier),
        ("digest_algorithm", algos.DigestAlgorithm),
        ("signed_attrs", Attributes, {"implicit": 0, "optional": True}),
        ("signature_algorithm", algos.SignedDigestAlgorithm),
        ("signature", core.OctetString),
        ("unsigned_attrs", Attributes, {"implicit": 1, "optional": True}),
    ]


class SignerInfos(core.SetOf):  # type: ignore[misc]
    """SET OF SignerInfo."""

    _child_spec = SignerInfo


class DigestAlgorithms(core.SetOf):  # type: ignore[misc]
    """SET OF DigestAlgorithmIdentifier."""

    _child_spec = algos.DigestAlgorithm


class EncapsulatedContent(core.Sequence):  # type: ignore[misc]
    """EncapsulatedContentInfo, or the PKCS#7 v1.5 ContentInfo that Authenticode has in its place."""

    _fields = [
        ("content_type", core.ObjectIdentifier),
        ("content", core.Any, {"explicit": 0, "optional": True}),
    ]


class SignedData(core.Sequence):  # type: ignore[misc]
    """SignedData (RFC 5652 §5.1); certificates and CRLs keep their bytes."""

    _fields = [
        ("version", core.Integer),
        ("digest_algorithms", DigestAlgorithms),
        ("encap_content_info", EncapsulatedContent),
        ("certificates", AnySet, {"implicit": 0, "optional": True}),
        ("crls", AnySet, {"implicit": 1, "optional": True}),
        ("signer_infos", SignerInfos),
    ]


class ContentInfo(core.Sequence):  # type: ignore[misc]
    """ContentInfo (RFC 5652 §3) that holds a SignedData."""

    _fields = [("content_type", core.ObjectIdentifier), ("content", SignedData, {"explicit": 0})]


class TimeStampResp(core.Sequence):  # type: ignore[misc]
    """TimeStampResp (RFC 3161 §2.4.2): without a token when the server refuses; asn1crypto's own insists on one."""

    _fields = [("status", tsp.PKIStatusInfo), ("time_stamp_token", core.Any, {"optional": True})]


class DigestInfo(core.Sequence):  # type: ignore[misc]
    """DigestInfo (RFC 8017 §9.2)."""

    _fields = [("digest_algorithm", algos.DigestAlgorithm), ("digest", core.OctetString)]


class SpcAttributeTypeAndValue(core.Sequence):  # type: ignore[misc]
    """SpcAttributeTypeAndOptionalValue: the format's OID and its own structure."""

    _fields = [("type", core.ObjectIdentifier), ("value", core.Any, {"optional": True})]


class SpcIndirectDataContent(core.Sequence):  # type: ignore[misc]
    """SpcIndirectDataContent: what is signed, and its digest."""

    _fields = [("data", SpcAttributeTypeAndValue), ("message_digest", DigestInfo)]


class SpcString(core.Choice):  # type: ignore[misc]
    """SpcString: BMPString or IA5String."""

    _alternatives = [("unicode", core.BMPString, {"implicit": 0}), ("ascii", core.IA5String, {"implicit": 1})]


class SpcSerializedObject(core.Sequence):  # type: ignore[misc]
    """SpcSerializedObject: class id (16 octets) and data."""

    _fields = [("class_id", core.OctetString), ("serialized_data", core.OctetString)]


class SpcLink(core.Choice):  # type: ignore[misc]
    """SpcLink: URL, serialized object or file name."""

    _alternatives = [
        ("url", core.IA5String, {"implicit": 0}),
        ("moniker", SpcSerializedObject, {"implicit": 1}),
        ("file", SpcString, {"explicit": 2}),
    ]


class SpcOpusInfo(core.Sequence):  # type: ignore[misc]
    """SpcSpOpusInfo: program name and URL."""

    _fields = [
        ("program_name", SpcString, {"explicit": 0, "optional": True}),
        ("more_info", SpcLink, {"explicit": 1, "optional": True}),
    ]
