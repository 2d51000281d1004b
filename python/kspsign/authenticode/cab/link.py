"""The SpcLink in a cabinet's signature, which carries no information: its known variants.

SignTool writes a link (SPC_LINK) with an "enhanced hash" of SHA-256, which is signed but undocumented; makers
of other tools write a link to no file below SPC_CAB_DATA, or the structure of PE images with such a link.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA, OID_SPC_LINK
from kspsign.authenticode.signable import nth
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding

OBSOLETE_LINK = der.element(0xA2, der.element(0x80, "<<<Obsolete>>>".encode("utf-16-be")))
"""The SpcLink to a placeholder file that older versions of SignTool wrote."""

_MONIKER, _FILE = 0xA1, 0xA2
_UNICODE, _ASCII = 0x80, 0x81
_CLASS_ID = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
_ENHANCED_HASH = der.oid("1.3.6.1.4.1.311.2.5.1")
_HASH_SIZES = frozenset({20, 32, 48, 64})
_NO_FILE = frozenset({"", "<<<Obsolete>>>"})


def link_findings(signatures: Sequence[CmsSignature]) -> Iterator[Finding]:
    """The check "content-link" of each signature, further ones with their number."""
    for index, signature in enumerate(signatures):
        try:
            finding = Finding("content-link", _described(signature))
        except TrustError as malformed:
            finding = Finding("content-link", malformed.message, Hresult.TRUST_E_MALFORMED_SIGNATURE)
        yield nth(index, finding)


def _described(signature: CmsSignature) -> str:
    value = signature.content_value
    if signature.content_oid == OID_SPC_LINK:
        return _link(der.parse(value, value[0] if value else der.SEQUENCE))
    if signature.content_oid != OID_SPC_CAB_DATA:
        raise der.malformed(f"content of another format ({signature.content_oid})")
    if value[:1] != bytes([der.SEQUENCE]):
        return _link(der.parse(value, value[0] if value else der.SEQUENCE))
    fields = der.parse(value).fields()  # SpcPeImageData
    fields.optional(der.BIT_STRING)
    inner = fields.optional(0xA0)
    fields.end()
    return "image data" if inner is None else f"image data with {_link(_only(inner))}"


def _link(link: der.Element) -> str:
    """The target of an SpcLink; raises TrustError when it has no form that a signer writes into a cabinet."""
    if link.tag == _FILE:
        text = _only(link)
        if text.tag not in {_UNICODE, _ASCII}:
            raise der.malformed("the link's file has no name")
        name = text.content.decode("utf-16-be" if text.tag == _UNICODE else "latin-1", "replace")
        if name not in _NO_FILE:
            raise der.malformed(f"the link leads to the file {name!r}")
        return "a link to no file"
    if link.tag != _MONIKER:
        raise der.malformed("the link leads neither to a file nor to a hash")
    fields = link.fields()
    class_id, content = fields.take(der.OCTET_STRING).content, fields.take(der.OCTET_STRING).content
    fields.end()
    parts = _only(der.parse(content, der.SET)).fields()
    kind, values = parts.take(der.OID).der, parts.take(der.SET)
    parts.end()
    enhanced = _only(values)
    if (class_id, kind) != (_CLASS_ID, _ENHANCED_HASH) or enhanced.tag != der.OCTET_STRING:
        raise der.malformed("the link leads to an object of no known class")
    if len(enhanced.content) not in _HASH_SIZES:
        raise der.malformed(f"the link has a hash of {len(enhanced.content)} bytes")
    return "a link with an enhanced hash, as SignTool writes it"


def _only(structure: der.Element) -> der.Element:
    found = structure.children(1)
    if not found:
        raise der.malformed("an empty element in the link")
    return found[0]
