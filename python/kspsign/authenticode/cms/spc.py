"""SpcIndirectDataContent: what a signature says it covers (Windows Authenticode PE Signature Format)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kspsign.authenticode.cms.algorithms import algorithm_identifier
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_SIP_INFO
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

_SIP_INFO_INTEGERS = 5
_GUID = 16


def indirect_data(content_oid: str, value: bytes, algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """DER SpcIndirectDataContent: the format's OID with its own structure `value` (DER), and the DigestInfo."""
    return der.sequence(
        der.sequence(der.oid(content_oid), value),
        der.sequence(algorithm_identifier(algorithm), der.octet_string(digest)),
    )


def sip_indirect_data(version: int, guid: bytes, algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """SpcIndirectDataContent of a format that names its SIP by `guid` (16 octets as stored) in an SpcSipInfo."""
    return indirect_data(OID_SPC_SIP_INFO, _sip_info(version, guid), algorithm, digest)


def sip_finding(signature: CmsSignature, guid: bytes | None) -> Finding:
    """The check "sip": the signature names the SIP that Windows has for this format, or any where `guid` is None.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when what should name one is not an SpcSipInfo.
    """
    fields = der.parse(signature.content_value).children()
    if len(fields) != 2 + _SIP_INFO_INTEGERS or fields[1].tag != der.OCTET_STRING or len(fields[1].content) != _GUID:
        raise der.malformed("what should be an SpcSipInfo")
    named = fields[1].content
    if guid is None:
        return Finding("sip", f"names a SIP ({named.hex()})")
    if named == guid:
        return Finding("sip", "names this format")
    return Finding("sip", f"names another format's SIP ({named.hex()})", Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN)


def sip_findings(signatures: Sequence[CmsSignature], guid: bytes | None) -> Iterator[Finding]:
    """The check "sip" of each signature, further ones with their number."""
    for number, signature in enumerate(signatures, start=1):
        try:
            finding = sip_finding(signature, guid)
        except TrustError as malformed:
            finding = Finding("sip", malformed.message, Hresult.TRUST_E_MALFORMED_SIGNATURE)
        yield finding if number == 1 else replace(finding, number=number)


def _sip_info(version: int, guid: bytes) -> bytes:
    """SpcSipInfo: version, GUID and five reserved integers."""
    return der.sequence(der.integer(version), der.octet_string(guid), *[der.integer(0)] * _SIP_INFO_INTEGERS)
