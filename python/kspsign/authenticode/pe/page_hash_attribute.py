"""SpcPeImageData: where a signature of a PE image keeps its page hashes (Windows Authenticode PE Signature Format)."""

from __future__ import annotations

from collections.abc import Iterable

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_PAGE_HASHES_V1, OID_SPC_PAGE_HASHES_V2, OID_SPC_PE_IMAGE_DATA
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm

PLAIN_IMAGE_DATA = bytes.fromhex("3009030100a004a2028000")
"""SpcPeImageData without page hashes: no flags, an empty file link; the octets SignTool writes."""

_CLASS_ID = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
_NO_FLAGS = bytes.fromhex("030100")
_LINK, _MONIKER = 0xA0, 0xA1
_VERSIONS = {
    der.oid(OID_SPC_PAGE_HASHES_V1): DigestAlgorithm.SHA1,
    der.oid(OID_SPC_PAGE_HASHES_V2): DigestAlgorithm.SHA256,
}


def paged_image_data(blob: bytes) -> bytes:
    """SpcPeImageData with the SHA-256 page hashes `blob` (V2)."""
    attribute = der.sequence(der.oid(OID_SPC_PAGE_HASHES_V2), der.set_of(der.octet_string(blob)))
    moniker = der.element(_MONIKER, der.octet_string(_CLASS_ID), der.octet_string(der.set_of(attribute)))
    return der.sequence(_NO_FLAGS, der.element(_LINK, moniker))


def page_hashes(signature: CmsSignature) -> tuple[DigestAlgorithm, bytes] | None:
    """The page hashes that `signature` carries, SHA-1 (V1) or SHA-256 (V2); None when it carries none.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when the structure that should hold them is none.
    """
    if signature.content_oid != OID_SPC_PE_IMAGE_DATA or not signature.content_value:
        return None
    links = [child for child in der.parse(signature.content_value).children() if child.tag == _LINK]
    monikers = [child for link in links for child in link.children() if child.tag == _MONIKER]
    if not monikers:
        return None
    fields = monikers[0].children()
    if len(fields) != 2 or fields[0].content != _CLASS_ID:
        raise der.malformed("the image data's link is neither a file nor page hashes")
    attributes = der.parse(fields[1].content, der.SET).children()
    parts = attributes[0].children() if len(attributes) == 1 else ()
    values = parts[1].children() if len(parts) == 2 else ()
    algorithm = _VERSIONS.get(parts[0].der) if parts else None
    if algorithm is None or len(values) != 1 or values[0].tag != der.OCTET_STRING:
        raise der.malformed("the page hashes are of no known version")
    return algorithm, values[0].content


def page_algorithms(signatures: Iterable[CmsSignature]) -> frozenset[DigestAlgorithm]:
    """The algorithms of all page hashes in `signatures`; what can't be read is for the format's own checks."""
    found: set[DigestAlgorithm] = set()
    for signature in signatures:
        try:
            carried = page_hashes(signature)
        except TrustError:
            continue
        if carried is not None:
            found.add(carried[0])
    return frozenset(found)
