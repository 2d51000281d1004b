"""NAVX: Business Central's .app packages. A 40-byte header, the content, and behind it the signature block.

All numbers are little-endian. The header: "NAVX", its size (40), a version, a GUID, the content's length (64 bit),
"NAVX" again. The block: "NXSB", a DER CMS, the block's own offset (32 bit), "NXSB". The digest is that of
everything before the block. Windows signs and verifies it through NavSip.dll.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kspsign.authenticode.asn1 import OID_SPC_SIP_INFO
from kspsign.authenticode.file_signature import FileSignature
from kspsign.authenticode.profile import AUTHENTICODE, SignatureProfile, SigningTerms
from kspsign.authenticode.signable import Digest, Glimpse
from kspsign.authenticode.spc import sip_indirect_data
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Finding

HEADER = 40
CHUNK = 1 << 20
MAX_BLOCK = 32 << 20
_SIP = bytes.fromhex("12341234f8040000781d123412341234")
_KINDS = frozenset({OID_SPC_SIP_INFO})
_MAGIC, _BLOCK = b"NAVX", b"NXSB"


def is_navx(glimpse: Glimpse) -> bool:
    """Whether the content is a NAVX package, whole or truncated."""
    return glimpse.head[:4] == _MAGIC and glimpse.head[36:40] in {_MAGIC, b""}


@dataclass(frozen=True, slots=True)
class NavxFile:
    """A NAVX package whose header and signature block were read and checked; see SignableFile."""

    path: Path
    content_end: int
    signatures: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> NavxFile:
        """Read header and block of `path`; raises ArtifactError when they contradict the file."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = file.read(HEADER)
            if len(header) < HEADER or struct.unpack_from("<I", header, 4)[0] != HEADER or header[36:] != _MAGIC:
                raise _damaged("its header is no NAVX header of 40 bytes")
            end = HEADER + struct.unpack_from("<q", header, 28)[0]
            if not HEADER <= end <= size:
                raise _damaged(f"its header tells of {end} bytes, the file has {size}")
            if size - end > MAX_BLOCK:
                raise _damaged(f"{size - end} bytes follow its content, more than any signature has")
            file.seek(end)
            block = file.read()
        return cls(path, end, (_message(block, end),) if block else ())

    @property
    def profile(self) -> SignatureProfile:
        """Authenticode."""
        return AUTHENTICODE

    @property
    def content_kinds(self) -> frozenset[str]:
        """SPC_SIPINFO."""
        return _KINDS

    def admit(self, _terms: SigningTerms) -> None:
        """Any NAVX package that could be opened can be signed."""

    def digest(self, algorithms: Collection[DigestAlgorithm], _pages: Collection[DigestAlgorithm] = ()) -> Digest:
        """Hash everything before the signature block."""
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        whole = hashlib.sha256()
        left = self.content_end
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                for hasher in hashers.values():
                    hasher.update(chunk[:left])
                left = max(left - len(chunk), 0)
        if left:
            raise ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")
        return Digest({algorithm: hasher.digest() for algorithm, hasher in hashers.items()}, whole.hexdigest())

    def structure(self, _digest: Digest, _signatures: Sequence[FileSignature]) -> tuple[Finding, ...]:
        """The check "signature-block": opening the file proved it."""
        return (Finding("signature-block", "begins and ends where header and block say"),)

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent that names the NAVX SIP."""
        return sip_indirect_data(1, _SIP, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: Path) -> None:
        """Write the package with the first of `signatures` as its block to `target`."""
        shutil.copyfile(self.path, target)
        with target.open("r+b") as file:
            file.truncate(self.content_end)
            file.seek(self.content_end)
            file.write(_BLOCK + signatures[0] + struct.pack("<I", self.content_end & 0xFFFFFFFF) + _BLOCK)


def _message(block: bytes, offset: int) -> bytes:
    """The CMS of a signature block."""
    if len(block) < 12 or block[:4] != _BLOCK or block[-4:] != _BLOCK:
        raise _damaged("what follows its content is no signature block")
    if struct.unpack_from("<I", block, len(block) - 8)[0] != offset & 0xFFFFFFFF:
        raise _damaged("its signature block states another offset than it has")
    return block[4:-8]


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the NAVX package is damaged: {what}")
