"""Catalogues, unsigned: lists of files by digest, of both versions, as MakeCat and New-FileCatalog write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from kspsign.authenticode.cms.algorithms import algorithm_identifier
from kspsign.authenticode.cms.oids import OID_CTL, OID_SIGNED_DATA, OID_SPC_INDIRECT_DATA
from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm

USAGE = "1.3.6.1.4.1.311.12.1.1"
_NULL = der.element(der.NULL)
_CAB_DATA = der.sequence(der.oid("1.3.6.1.4.1.311.2.1.25"), der.element(0xA2, der.element(0x80)))


def trust_list(files: dict[str, bytes], *, version: int = 2, usage: str = USAGE) -> bytes:
    """The list of `files` (content by name). Version 1 has SHA-1 and its hex digits as tag, 2 SHA-256 as tag."""
    return der.sequence(
        der.sequence(der.oid(usage)),
        der.octet_string(bytes(range(16))),
        der.element(0x17, b"260101000000Z"),
        der.sequence(der.oid(f"1.3.6.1.4.1.311.12.1.{version + 1}"), _NULL),
        der.sequence(*_members(files, version)),
    )


def unsigned(content: bytes) -> bytes:
    """A SignedData without signers around a trust list."""
    encapsulated = der.sequence(der.oid(OID_CTL), der.element(0xA0, content))
    signed = der.sequence(der.integer(1), der.set_of(), encapsulated, der.set_of())
    return der.sequence(der.oid(OID_SIGNED_DATA), der.element(0xA0, signed))


def catalogue(*, version: int = 2) -> bytes:
    """An unsigned catalogue of two files."""
    return unsigned(trust_list({"driver.sys": b"MZ...", "driver.inf": b"[Version]"}, version=version))


def _members(files: dict[str, bytes], version: int) -> Iterator[bytes]:
    algorithm = DigestAlgorithm.SHA1 if version == 1 else DigestAlgorithm.SHA256
    for name, content in files.items():
        digest = hashlib.new(algorithm, content).digest()
        covered = der.sequence(_CAB_DATA, der.sequence(algorithm_identifier(algorithm), der.octet_string(digest)))
        named = der.sequence(
            der.element(0x1E, "File".encode("utf-16-be")),
            der.integer(0x10010001),
            der.octet_string(f"{name}\0".encode("utf-16-le")),
        )
        attributes = (
            der.sequence(der.oid(OID_SPC_INDIRECT_DATA), der.set_of(covered)),
            der.sequence(der.oid("1.3.6.1.4.1.311.12.2.1"), der.set_of(named)),
        )
        tag = f"{digest.hex().upper()}\0".encode("utf-16-le") if version == 1 else digest
        yield der.sequence(der.octet_string(tag), der.set_of(*attributes))
