"""Checks before a signature is requested for a PE image."""

from __future__ import annotations

from collections.abc import Sequence

from kspsign.authenticode.pe.layout import MAX_FILE_SIZE, PeLayout
from kspsign.authenticode.pe.pages import pages_fault, pages_size
from kspsign.authenticode.pe.table import max_table_size
from kspsign.authenticode.profile import SigningTerms
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_SIGNATURE_ROOM = 64 << 10  # a signature with its timestamp but for certificates and page hashes takes some 10 KiB


def admit(layout: PeLayout, signatures: Sequence[bytes], terms: SigningTerms) -> None:
    """Raise ArtifactError when an image of this layout that carries `signatures` can't be signed on these terms."""
    if layout.signed and layout.table_offset + layout.table_size != layout.size:
        raise ArtifactError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
            "data follows the certificate table; signing would drop it",
            remedy="Sign the original build output, or remove what was appended after signing.",
        )
    if terms.page_hashes:
        _admit_pages(layout)
    room = _SIGNATURE_ROOM + sum(map(len, terms.chain))
    room += pages_size(layout) if terms.page_hashes else 0
    room += sum(map(len, signatures)) if terms.append else 0
    if layout.content_end + layout.padding + room > MAX_FILE_SIZE:
        raise too_large()
    most = max_table_size(layout.content_end)
    if room > most:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"its signatures would take {room >> 20} MiB, more than a certificate table may have here "
            f"({most >> 20} MiB)",
            remedy="Sign it with one signature, or without --page-hashes.",
        )


def too_large() -> ArtifactError:
    """The error for an image that would reach 4 GiB with its signature."""
    return ArtifactError(
        Hresult.ERROR_BAD_FORMAT,
        "with its signature the PE image would reach 4 GiB, which its 32-bit offsets can't address",
        remedy="Ship the payload as a separate file.",
    )


def _admit_pages(layout: PeLayout) -> None:
    fault = pages_fault(layout)
    if fault is not None:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"it can't have page hashes: {fault}",
            remedy="Sign it without --page-hashes, or link it with smaller headers and non-overlapping sections.",
        )
