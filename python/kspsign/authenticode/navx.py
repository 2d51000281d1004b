"""NAVX: Business Central's .app packages. A 40-byte header, the content, and after it the signature block.

All numbers are little-endian. The header: "NAVX", its size (40), a version, a GUID, the content's length (64 bit),
"NAVX" again. The content is a ZIP, or in a runtime package a scrambled one (".NEA"). The block: "NXSB", a DER CMS,
the block's own offset (32 bit), "NXSB". The digest is that of everything before the block. Further signatures are
nested in the first. Windows signs and verifies such packages through NavSip.dll.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_SIP_INFO
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.spc import sip_findings, sip_indirect_data
from kspsign.authenticode.io.hash import hash_stretch
from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import MAX_SIGNATURE, Digest, Glimpse, OneDigest, SignableFormat
from kspsign.certificates import der
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

HEADER = 40
MAX_BLOCK = MAX_SIGNATURE + 64
MAX_OFFSET = 0xFFFFFFFF
PADDING = 8
_SIP = bytes.fromhex("12341234f8040000781d123412341234")
_PROFILE = AUTHENTICODE.covering(OID_SPC_SIP_INFO)
_LENGTH_AT = 28
_MAGIC, _BLOCK = b"NAVX", b"NXSB"


def is_navx(glimpse: Glimpse) -> bool:
    """Whether the content is a NAVX package, whole or truncated."""
    return glimpse.head[:4] == _MAGIC and glimpse.head[36:40] in {_MAGIC, b""}


@dataclass(frozen=True, slots=True)
class NavxFile(OneDigest):
    """A NAVX package whose header and signature block were read and checked; see SignableFile.

    `stored` is what the block holds between its marks: the signature, and padding if there is any.
    """

    snapshot: Snapshot
    content_end: int
    stored: bytes = field(repr=False)

    @classmethod
    def open(cls, snapshot: Snapshot) -> NavxFile:
        """Read header and block; raises ArtifactError when they contradict the file."""
        size = snapshot.size
        with snapshot.open() as file:
            header = file.read(HEADER)
            if len(header) < HEADER or struct.unpack_from("<I", header, 4)[0] != HEADER or header[36:] != _MAGIC:
                raise _damaged("its header is not a NAVX header of 40 bytes")
            end = HEADER + struct.unpack_from("<q", header, _LENGTH_AT)[0]
            if not HEADER <= end <= size:
                raise _damaged(f"its header declares {end} bytes, the file has {size}")
            if size - end > MAX_BLOCK:
                raise _damaged(f"{size - end} bytes follow its content, more than any signature has")
            file.seek(end)
            block = file.read()
        return cls(snapshot, end, _message(block, end) if block else b"")

    @property
    def profile(self) -> CmsProfile:
        """Authenticode."""
        return _PROFILE

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The signature in the block."""
        return (self.stored[: der.message_size(self.stored)],) if self.stored else ()

    def admit(self, _terms: SigningTerms) -> None:
        """Raise ArtifactError when the package is too large for the block to state where it begins."""
        if self.content_end > MAX_OFFSET:
            raise ArtifactError(
                Hresult.ERROR_BAD_FORMAT,
                f"the package has {self.content_end} bytes; a signature block states its place in 32 bits, up to 4 GiB",
                remedy="Split the app, or take large resources out of it.",
            )

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash everything before the signature block."""
        return hash_stretch(self.snapshot, 0, self.content_end, algorithms)

    def structure(self, _digest: Digest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The check "signature-block", beyond what opening the file proved, and "sip" for each signature."""
        padding = self.stored[len(self.signatures[0]) :] if self.stored else b""
        if any(padding) or len(padding) >= PADDING:
            detail = f"{len(padding)} bytes after the signature are not padding"
            block = Finding("signature-block", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)
        else:
            block = Finding("signature-block", "begins and ends as header and block declare")
        # NavSip.dll writes another GUID into each signature.
        return (block, *sip_findings(signatures, None))

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent that names the NAVX SIP."""
        return sip_indirect_data(1, _SIP, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the package with the first of `signatures` as its block to `target`; without any it has none."""
        with self.snapshot.open() as source:
            target.writelines(stretch(source, self.content_end))
        end = struct.pack("<I", self.content_end) + _BLOCK
        target.write(b"".join(_BLOCK + signature + end for signature in signatures[:1]))


def with_length(header: bytes, length: int) -> bytes:
    """The header of 40 bytes with another length of the content."""
    return header[:_LENGTH_AT] + struct.pack("<q", length) + header[_LENGTH_AT + 8 :]


def _message(block: bytes, offset: int) -> bytes:
    """The content of the signature block at `offset`."""
    if block[:4] != _BLOCK:
        raise _damaged(f"the {len(block)} bytes after its content are not a signature block")
    if len(block) <= 16 or block[-4:] != _BLOCK:
        raise _damaged("its signature block is cut off, or bytes follow it")
    stated = struct.unpack_from("<I", block, len(block) - 8)[0]
    if stated != offset:
        raise _damaged(f"its signature block is at {offset} and states {stated}")
    return block[4:-8]


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the NAVX package is damaged: {what}")


NAVX = SignableFormat(is_navx, NavxFile.open, detachable=_PROFILE)
