"""SpcIndirectDataContent per format: what a signature says it covers."""

from __future__ import annotations

from asn1crypto import core

from kspsign.authenticode.asn1 import (
    OID_SPC_PE_IMAGE_DATA,
    DigestInfo,
    SpcAttributeTypeAndValue,
    SpcIndirectDataContent,
)
from kspsign.model import DigestAlgorithm

# SpcPeImageData without page hashes: no flags, an empty file link; the octets SignTool writes.
_PE_IMAGE_DATA = bytes.fromhex("3009030100a004a2028000")


def pe_indirect_data(algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """DER SpcIndirectDataContent of a PE image (Windows Authenticode PE Signature Format, "SpcPeImageData")."""
    return _indirect_data(OID_SPC_PE_IMAGE_DATA, _PE_IMAGE_DATA, algorithm, digest)


def _indirect_data(kind: str, value: bytes, algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    content = SpcIndirectDataContent(
        {
            "data": SpcAttributeTypeAndValue({"type": kind, "value": core.Any(core.load(value))}),
            "message_digest": DigestInfo({"digest_algorithm": {"algorithm": algorithm.value}, "digest": digest}),
        }
    )
    return bytes(content.dump())
