"""The attribute certificate table: WIN_CERTIFICATE entries (PE Format, "The Attribute Certificate Table")."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from kspsign.authenticode.signable import MAX_SIGNATURE
from kspsign.certificates.der import message_size
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding

REVISION = 0x0200
TYPE_PKCS_SIGNED_DATA = 0x0002
ENTRY_HEADER = 8
ALIGNMENT = 8
_PAGE_HASHES_SHARE = 32


class CertificateTable(NamedTuple):
    """The signatures of a table in order, and what is wrong with the table around them.

    `entries` counts what has the shape of a WIN_CERTIFICATE, of whatever revision and type.
    """

    signatures: tuple[bytes, ...]
    fault: str | None
    entries: int = 0


def max_table_size(content: int) -> int:
    """Bytes that a table may have after so many bytes of content: page hashes take a hundredth of it, in each of a few
    signatures."""
    return MAX_SIGNATURE + content // _PAGE_HASHES_SHARE


def parse_table(data: bytes) -> CertificateTable:
    """The table's entries. Anything but zero padding after a signature is a fault (CVE-2013-3900)."""
    signatures: list[bytes] = []
    fault: str | None = None
    offset = entries = 0
    while offset < len(data):
        if len(data) - offset < ENTRY_HEADER:
            return CertificateTable(tuple(signatures), f"{len(data) - offset} stray bytes end the table", entries)
        length, revision, kind = struct.unpack_from("<IHH", data, offset)
        if length <= ENTRY_HEADER or offset + length > len(data):
            fault = f"entry at {offset} claims {length} bytes of {len(data)}"
            return CertificateTable(tuple(signatures), fault, entries)
        entries += 1
        blob = data[offset + ENTRY_HEADER : offset + length]
        if revision != REVISION or kind != TYPE_PKCS_SIGNED_DATA:
            fault = fault or f"entry at {offset} has revision 0x{revision:04X} and type 0x{kind:04X}"
        else:
            der_size = message_size(blob)
            if der_size is None:
                fault = fault or f"entry at {offset} holds no DER structure that ends inside it"
                der_size = len(blob)
            if blob[:der_size] in signatures:
                fault = fault or f"entry at {offset} repeats a signature"
            signatures.append(blob[:der_size])
            fault = fault or _padding_fault(blob[der_size:], "after the signature")
            if len(blob) > der_size and length % ALIGNMENT:
                fault = fault or f"entry at {offset} counts a part of its padding"
        step = length + (-length % ALIGNMENT)
        fault = fault or _padding_fault(data[offset + length : offset + step], "between table entries")
        offset += step
    return CertificateTable(tuple(signatures), fault, entries)


def build_table(signatures: Sequence[bytes]) -> bytes:
    """A table with one entry a signature; dwLength counts the padding, as SignTool writes it."""
    padded = (signature + bytes(-len(signature) % ALIGNMENT) for signature in signatures)
    return b"".join(
        struct.pack("<IHH", ENTRY_HEADER + len(blob), REVISION, TYPE_PKCS_SIGNED_DATA) + blob for blob in padded
    )


def table_finding(table: CertificateTable) -> Finding:
    """The check "certificate-table"."""
    if table.fault is None:
        return Finding("certificate-table", "nothing but zero padding around the signature")
    return Finding("certificate-table", table.fault, Hresult.TRUST_E_MALFORMED_SIGNATURE)


def _padding_fault(padding: bytes, where: str) -> str | None:
    if any(padding):
        return f"{len(padding)} bytes that are not zero padding {where}"
    if len(padding) >= ALIGNMENT:
        return f"{len(padding)} bytes of padding {where}, more than alignment needs"
    return None
