"""One pass over a package: computes the digests that a signature covers and compares the files with the block map."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from kspsign.authenticode.appx.block_check import BlockCheck
from kspsign.authenticode.appx.names import BLOCK_MAP, CODE_INTEGRITY, CONTENT_TYPES
from kspsign.authenticode.appx.package import Package
from kspsign.authenticode.zip import Plan, Scan, ZipEntry
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

PARTS = {"AXCT": CONTENT_TYPES, "AXBM": BLOCK_MAP, "AXCI": CODE_INTEGRITY}
"""The parts that are hashed unpacked, by tag, in the order of their digests."""
MAGIC = b"APPX"


class Hashed(NamedTuple):
    """The digest of each algorithm, what was found on the way, and the same of each package in a bundle."""

    values: dict[DigestAlgorithm, bytes]
    findings: tuple[Finding, ...]
    inner: tuple[Hashed, ...] = ()


class _Hashers:
    """The digests of one algorithm."""

    def __init__(self, algorithm: DigestAlgorithm, plan: Plan) -> None:
        self._algorithm = algorithm
        self._plan = plan
        self._bytes = hashlib.new(algorithm)
        names = {*(member.name for member in plan.kept), *(member.name for member in plan.added)}
        self._parts = {name: hashlib.new(algorithm) for name in PARTS.values() if name in names}

    def feed(self, entry: ZipEntry, raw: bytes, content: bytes) -> None:
        """The next bytes of an entry that stays."""
        self._bytes.update(raw)
        if content and entry.name in self._parts:
            self._parts[entry.name].update(content)

    def value(self) -> bytes:
        """All digests, each after its tag, once everything was fed."""
        for member in self._plan.added:
            self._bytes.update(member.raw)
            if member.name in self._parts:
                self._parts[member.name].update(member.content)
        directory = hashlib.new(self._algorithm, self._plan.tail()).digest()
        parts = (tag.encode() + self._parts[name].digest() for tag, name in PARTS.items() if name in self._parts)
        return b"".join((MAGIC, b"AXPC", self._bytes.digest(), b"AXCD", directory, *parts))


def hash_package(package: Package, algorithms: Collection[DigestAlgorithm]) -> Hashed:
    """Digests of the package as it is signed; findings "package-content", "block-map", "inner-content"."""
    plan = package.unsigned
    hashers = {algorithm: _Hashers(algorithm, plan) for algorithm in algorithms}
    staying = {entry.number for entry in plan.kept}
    scan, blocks = Scan(package.archive), BlockCheck(package.block_map)
    current: ZipEntry | None = None
    with package.snapshot.open() as file:
        for entry, raw, content in scan.pieces(file, blocks.borders):
            if entry is None:
                continue
            if entry is not current:
                current = entry
                blocks.begin(entry)
            blocks.feed(raw, content)
            if entry.number in staying:
                for hasher in hashers.values():
                    hasher.feed(entry, raw, content)
    blocks.finish()
    values = {algorithm: hasher.value() for algorithm, hasher in hashers.items()}
    inner = tuple(_hash_inner(inner_package) for inner_package in package.inner)
    findings = (scan.finding(), _block_finding(package, blocks), *_inner_findings(package, inner))
    return Hashed(values, findings, inner)


def _hash_inner(inner: Package) -> Hashed:
    """A package in a bundle, by the algorithms of its signature (of its block map while it has none)."""
    return hash_package(
        inner, {inner.block_map.algorithm, *(signature.algorithm for signature in inner.readable_signatures)}
    )


def _block_finding(package: Package, blocks: BlockCheck) -> Finding:
    structure = package.block_map_fault
    if structure is not None:
        return Finding("block-map", structure, Hresult.APPX_E_INVALID_BLOCKMAP)
    if blocks.fault is not None:
        return Finding("block-map", blocks.fault, Hresult.APPX_E_BLOCK_HASH_INVALID)
    return Finding("block-map", f"has every file, {len(package.block_map.files)} in all")


def _inner_findings(package: Package, inner: tuple[Hashed, ...]) -> tuple[Finding, ...]:
    """The check "inner-content": what each package in the bundle holds is what its own signature covers."""
    if not package.bundle:
        return ()
    for stated, held, hashed in zip(package.manifest.packages, package.inner, inner, strict=True):
        if fault := _content_fault(held, hashed):
            return (Finding("inner-content", f"{stated.name}: {fault}", Hresult.TRUST_E_BAD_DIGEST),)
    return (Finding("inner-content", f"{len(inner)}, each matches its signature"),)


def _content_fault(inner: Package, hashed: Hashed) -> str | None:
    for signature in inner.readable_signatures:
        if hashed.values[signature.algorithm] != signature.file_digest:
            return "it differs from what was signed"
    return next((finding.detail for finding in hashed.findings if finding.hresult is not None), None)
