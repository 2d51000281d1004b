"""What every format offers: the seam between the path and the formats."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kspsign.model import DigestAlgorithm, Finding


@dataclass(frozen=True, slots=True)
class Digest:
    """One pass over a file: what its format hashes, per algorithm, and the sha256 of the whole file (hex).

    `word_sum` is the sum of the file's 16-bit little-endian words modulo 65535, the checksum field taken as
    zero; formats without such a checksum leave it 0.
    """

    values: dict[DigestAlgorithm, bytes]
    sha256: str
    word_sum: int = 0


class SignableFile(Protocol):
    """A file of a format that carries Authenticode signatures, its structure read and checked, no content yet.

    Opening one raises ArtifactError when the structure contradicts itself.
    """

    @property
    def path(self) -> Path:
        """Where the file is."""

    @property
    def content_kind(self) -> str:
        """The OID that a signature of this format names in its SpcIndirectDataContent."""

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The embedded top-level signatures, each a DER ContentInfo, in file order; empty when unsigned."""

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Read the file once and hash it the format's way with each of `algorithms`."""

    def structure(self, digest: Digest) -> tuple[Finding, ...]:
        """The format's own strict checks on what surrounds the signature."""

    def indirect_data(self, algorithm: DigestAlgorithm, digest: Digest) -> bytes:
        """The DER SpcIndirectDataContent that a signature of this file covers."""

    def embed(self, digest: Digest, signatures: Sequence[bytes], target: Path) -> None:
        """Write a copy of the file with `signatures` (DER ContentInfos) in place of its own to `target`."""
