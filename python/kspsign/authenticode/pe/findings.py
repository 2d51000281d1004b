"""The strict checks of a PE image around and beyond its signatures, each a named finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.pe.checksum import image_checksum
from kspsign.authenticode.pe.content import entry_words, stored_entry
from kspsign.authenticode.pe.digest import PeDigest
from kspsign.authenticode.pe.layout import PeLayout
from kspsign.authenticode.pe.page_hash_attribute import page_hashes
from kspsign.authenticode.pe.pages import differing_page, pages_fault
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.values import DigestAlgorithm, Finding


def trailing_finding(layout: PeLayout) -> Finding:
    """The check "trailing-data"."""
    trailing = layout.size - layout.table_offset - layout.table_size if layout.signed else 0
    if not trailing:
        return Finding("trailing-data", "nothing follows the certificate table")
    detail = f"data follows the certificate table ({count(trailing, 'byte')})"
    return Finding("trailing-data", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)


def checksum_finding(layout: PeLayout, digest: PeDigest) -> Finding:
    """The check "checksum": the header's against the one that the content gives."""
    words = digest.word_sum + entry_words(layout, stored_entry(layout)) + digest.tail_sum
    stored, computed = layout.checksum, image_checksum(words, layout.size)
    if not stored:
        return Finding("checksum", "not set")
    if stored == computed:
        return Finding("checksum", f"0x{stored:08X}")
    detail = f"the header says 0x{stored:08X}, the content gives 0x{computed:08X}"
    return Finding("checksum", detail, Hresult.TRUST_E_BAD_DIGEST)


def pages_finding(layout: PeLayout, digest: PeDigest, signatures: Sequence[CmsSignature]) -> Iterator[Finding]:
    """The check "page-hashes", when a signature carries some: they are those of this image."""
    versions: list[str] = []
    for signature in signatures:
        try:
            carried = page_hashes(signature)
        except TrustError as malformed:
            yield Finding("page-hashes", malformed.message, Hresult.TRUST_E_MALFORMED_SIGNATURE)
            return
        if carried is None:
            continue
        algorithm, blob = carried
        if blob != digest.pages.get(algorithm):
            fault = pages_fault(layout) or differing_page(digest.pages[algorithm], blob, algorithm)
            yield Finding("page-hashes", fault, Hresult.TRUST_E_BAD_DIGEST)
            return
        versions.append("V1, SHA-1" if algorithm is DigestAlgorithm.SHA1 else "V2, SHA-256")
    if versions:
        yield Finding("page-hashes", "; ".join(versions))
