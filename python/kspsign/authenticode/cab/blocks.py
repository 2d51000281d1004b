"""The data blocks of a cabinet (CFDATA): where they end tells whether the size of their reserve is what the signer
saw, for no signature covers it."""

from __future__ import annotations

from typing import BinaryIO

from kspsign.authenticode.cab.header import CabHead
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding

_BLOCK = 8


def blocks_finding(file: BinaryIO, head: CabHead) -> Finding:
    """The check "data-blocks": those of the first folder with any, one behind the other, end where the next begin."""
    spans = [(start, count) for start, count in head.spans() if count]
    if not spans:
        return Finding("data-blocks", "there are none")
    start, count = spans[0]
    limit = min((other for other, _ in spans if other > start), default=head.cabinet)
    end = start
    for _ in range(count):
        file.seek(end + 4)
        end += _BLOCK + head.data_reserve + int.from_bytes(file.read(2), "little")
        if end > limit:
            break
    if end == limit:
        return Finding("data-blocks", f"{count} in the first folder, with a reserve of {head.data_reserve} bytes")
    detail = f"with a reserve of {head.data_reserve} bytes the blocks from {start} on end at {end}, not at {limit}"
    return Finding("data-blocks", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)
