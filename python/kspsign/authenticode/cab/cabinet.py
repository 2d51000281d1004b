"""A cabinet as a signable file: its digest, and how a signature is appended to it.

The digest is that of the head as it is once signed, but for header checksum, reserve sizes and the signature's place,
and of all that follows up to the signature. So it is the same before and after signing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from kspsign.authenticode.cab.blocks import blocks_finding
from kspsign.authenticode.cab.header import MAX_RESERVE, CabHead, damaged, read_head
from kspsign.authenticode.cab.link import OBSOLETE_LINK, link_findings
from kspsign.authenticode.cab.reserve import Reserve, read_reserve, with_place
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA, OID_SPC_LINK
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.hash import hash_stretch
from kspsign.authenticode.io.read import in_parallel, stretch
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import MAX_SIGNATURE, Digest, Glimpse, OneDigest
from kspsign.certificates import der
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.values import DigestAlgorithm, Finding

ALIGNMENT = 8
MAX_SIZE = 0xFFFFFFFF
_SIGNATURE_ROOM = 64 << 10
PROFILE = AUTHENTICODE.covering(OID_SPC_CAB_DATA, OID_SPC_LINK)


def is_cab(glimpse: Glimpse) -> bool:
    """Whether the content is a cabinet, whole or truncated."""
    return glimpse.head[:4] == b"MSCF" and glimpse.head[25:26] in {b"\1", b""}


@dataclass(frozen=True, slots=True)
class CabFile(OneDigest):
    """A cabinet whose head was read and checked; see SignableFile. `stored` is its signature with the padding."""

    snapshot: Snapshot
    head: CabHead
    reserve: Reserve
    stored: bytes = field(repr=False)

    @classmethod
    def open(cls, snapshot: Snapshot) -> CabFile:
        """Read head and signature; raises ArtifactError when they contradict the file."""
        size = snapshot.size
        with snapshot.open() as file:
            head = read_head(file, size)
            reserve = read_reserve(head.reserve or b"")
            return cls(snapshot, head, reserve, reserve.signature or _read_signature(file, size, head, reserve))

    @property
    def profile(self) -> CmsProfile:
        """Authenticode."""
        return PROFILE

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The signature after the cabinet, or in its reserve."""
        return (self.stored[: der.message_size(self.stored)],) if self.stored else ()

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the reserve is another program's, data would be lost or belongs to no file, or 4 GiB
        would be reached."""
        full = len(self._signed_head.reserve or b"") > MAX_RESERVE
        if self.reserve.fault or full:
            raise ArtifactError(
                Hresult.ERROR_BAD_FORMAT,
                "the header's reserve, where signatures are recorded, holds another program's data: "
                f"{self.reserve.fault or f'{len(self.reserve.first)} bytes, which leave no room'}",
                remedy="Make the cabinet without a per-cabinet reserve, or with an empty one (ReservePerCabinetSize).",
            )
        if self._trailing:
            raise ArtifactError(
                Hresult.TRUST_E_MALFORMED_SIGNATURE,
                f"data follows the cabinet ({count(self._trailing, 'byte')}); signing would drop it",
                remedy="Sign the cabinet before anything is appended to it.",
            )
        room = _SIGNATURE_ROOM + sum(map(len, terms.chain)) + len(self.stored) * terms.append
        if self._signed_head.cabinet + room > MAX_SIZE:
            raise ArtifactError(
                Hresult.ERROR_BAD_FORMAT,
                "with its signature the cabinet would reach 4 GiB, which its 32-bit offsets can't address",
                remedy="Split it into a set of smaller cabinets.",
            )
        self._admit(self._blocks(summed=False))

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash the head as it is once signed, and what follows up to the signature (see module), and check the data
        blocks on the way."""
        head = self._signed_head.hashed(self.reserve.first)
        with in_parallel(self.snapshot.size, lambda: self._blocks(summed=True)) as blocks:
            found = hash_stretch(self.snapshot, self.head.size, self.head.cabinet, algorithms, before=head)
            return replace(found, findings=(blocks(),))

    def structure(self, digest: Digest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks "content-link" of each signature, "reserve", "trailing-data" and "data-blocks": all that the
        digest leaves out."""
        fault = self.reserve.fault
        if self.head.checksum:
            fault = fault or f"the header's checksum, which is not signed, is 0x{self.head.checksum:08X}"
        malformed = Hresult.TRUST_E_MALFORMED_SIGNATURE
        return (
            *link_findings(signatures),
            Finding("reserve", fault, malformed) if fault else Finding("reserve", "records a signature or is empty"),
            self._trailing_finding(),
            *digest.findings,
        )

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent with an SpcLink; raises ArtifactError when the data blocks are wrong: no signature may
        be spent on them."""
        for finding in digest.findings:
            self._admit(finding)
        return indirect_data(OID_SPC_CAB_DATA, OBSOLETE_LINK, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the cabinet with the first of `signatures` after it, padded to eight bytes, to `target`; without any it
        has no place for one either, unless its reserve is larger than signing makes it."""
        signature = b"".join(signature + bytes(-len(signature) % ALIGNMENT) for signature in signatures[:1])
        head = self._signed_head
        place = with_place(len(head.reserve or b""), self.reserve.first, head.cabinet, len(signature))
        written = replace(head, reserve=place) if signature else self._unsigned_head
        with self.snapshot.open() as source:
            target.write(written.to_bytes())
            source.seek(self.head.size)
            target.writelines(stretch(source, self.head.cabinet - self.head.size))
        target.write(signature)

    @property
    def _unsigned_head(self) -> CabHead:
        """The head without a signature's place."""
        head, least = self.head, len(with_place(0, b"", 0, 0))
        if head.reserve is None or self.reserve.first or head.folder_reserve or head.data_reserve:
            return replace(head, reserve=head.reserve and with_place(len(head.reserve), self.reserve.first, 0, 0))
        return head.without_reserve() if len(head.reserve) == least else replace(head, reserve=bytes(len(head.reserve)))

    @property
    def _signed_head(self) -> CabHead:
        return self.head.signed(self.reserve.first)

    @property
    def _trailing(self) -> int:
        """Bytes that follow cabinet and signature."""
        return self.snapshot.size - self.head.cabinet - (self.reserve.length if self.stored else 0)

    def _blocks(self, *, summed: bool) -> Finding:
        with self.snapshot.open() as file:
            return blocks_finding(file, self.head, summed=summed)

    @staticmethod
    def _admit(blocks: Finding) -> None:
        if blocks.hresult is not None:
            raise damaged(blocks.detail)

    def _trailing_finding(self) -> Finding:
        """The check "trailing-data"."""
        padding = self.stored[len(self.signatures[0]) :] if self.stored else b""
        if self._trailing:
            fault = f"data follows the cabinet and its signature ({count(self._trailing, 'byte')})"
        elif any(padding) or len(padding) >= ALIGNMENT:
            fault = f"{len(padding)} bytes after the signature are not padding to {ALIGNMENT} bytes"
        else:
            return Finding("trailing-data", "the file ends with the cabinet and its signature")
        return Finding("trailing-data", fault, Hresult.TRUST_E_MALFORMED_SIGNATURE)


def _read_signature(file: BinaryIO, size: int, head: CabHead, reserve: Reserve) -> bytes:
    """The signature that the reserve records; none when it records none."""
    offset, length = reserve.offset, reserve.length
    if not offset and not length:
        return b""
    if offset != head.cabinet or not length or offset + length > size:
        raise damaged(
            f"its reserve records a signature of {length} bytes at {offset}, which must lie between the cabinet's end "
            f"({head.cabinet}) and the file's ({size})"
        )
    if length > MAX_SIGNATURE:
        raise damaged(f"{length} bytes are not a signature")
    file.seek(offset)
    return file.read(length)
