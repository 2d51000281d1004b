"""A signature as `signtool verify` shows it: in full under /v, else as a row of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography import x509

from kspsign.cli.signtool.words import CertificateWords, local_time
from kspsign.publishing.sanitize import visible
from kspsign.verifying.signatures import ExaminedSignature

_WIDTHS = (7, 11, 13)
_HEADINGS = ("Index", "Algorithm", "Timestamp")
_CONTENT = frozenset({"cms-structure", "digest", "signed-attributes", "signature"})
"""Checks before the chain: where one fails, SignTool shows no chain."""


def signature_lines(index: int, examined: ExaminedSignature, *, described: bool) -> Iterator[str]:
    """Hash, chain and timestamp of one signature."""
    signature = examined.signature
    yield ""
    yield f"Signature Index: {index}{'' if index else ' (Primary Signature)'}"
    yield f"Hash of file ({signature.algorithm.value}): {signature.file_digest.hex().upper()}"
    if described:
        yield f"Description:     {visible(signature.program_name or '')}"
        yield f"Description URL: {visible(signature.program_url or '')}"
    if not _is_intact(examined):
        return
    yield ""
    yield "Signing Certificate Chain:"
    yield from _chain_lines(examined.path)
    if examined.stamp is None:
        yield "File is not timestamped."
        yield ""
    elif examined.authority_root is not None:
        yield f"The signature is timestamped: {local_time(examined.stamp.time)}"
        yield "Timestamp Verified by:"
        yield from _chain_lines(examined.authority_path)


def table_lines(shown: str, rows: Sequence[tuple[int, ExaminedSignature]], *, later: bool) -> Iterator[str]:
    """The file's table. SignTool fills the headings of every table but the first with `=`, and so do these."""
    yield f"File: {shown}"
    yield _row(_HEADINGS, "=" if later else " ")
    yield "=" * 40
    for index, examined in rows:
        if _is_intact(examined):
            yield _row((str(index), examined.signature.algorithm.value, _stamp_kind(examined)), " ")


def _row(cells: Sequence[str], fill: str) -> str:
    return "".join(cell.ljust(width, fill) for cell, width in zip(cells, _WIDTHS, strict=True))


def _stamp_kind(examined: ExaminedSignature) -> str:
    if examined.stamp is None:
        return "None"
    return "Authenticode" if examined.signature.counter_signatures else "RFC3161"


def _is_intact(examined: ExaminedSignature) -> bool:
    return not any(found.hresult is not None and found.check in _CONTENT for found in examined.findings)


def _chain_lines(path: Sequence[x509.Certificate]) -> Iterator[str]:
    """The chain, its root first, each certificate further to the right."""
    for depth, certificate in enumerate(reversed(path), start=1):
        yield from CertificateWords.of(certificate).lines(depth)
