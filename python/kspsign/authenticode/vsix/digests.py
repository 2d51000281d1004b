"""The digests of a package's parts: one pass over the archive, and what signing writes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from kspsign.authenticode.io.read import in_parallel
from kspsign.authenticode.signable import Digest
from kspsign.authenticode.vsix.layout import PackageLayout
from kspsign.authenticode.vsix.package_object import SignedPart, package_digest
from kspsign.authenticode.vsix.relationships import read_relationships, transformed
from kspsign.authenticode.zip import Archive, Scan
from kspsign.model.values import DigestAlgorithm

_Digests: TypeAlias = dict[DigestAlgorithm, bytes]


@dataclass(frozen=True, slots=True)
class VsixDigest(Digest):
    """See Digest; `parts` are the parts that a signature covers, per algorithm."""

    parts: Mapping[DigestAlgorithm, tuple[SignedPart, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartHasher:
    """Hashes the parts of `archive` as `layout` has them. `relationships` are the parts with relationships, of which a
    signature may select some: `selected` are those parts as it has them."""

    archive: Archive
    layout: PackageLayout
    relationships: Mapping[str, bytes]
    selected: Sequence[SignedPart] = ()

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> VsixDigest:
        """Read the file once; unpacks every entry on the way."""
        scan, snapshot = Scan(self.archive), self.archive.snapshot
        with in_parallel(snapshot.size, snapshot.sha256) as whole, snapshot.open() as file:
            hashed = self._entries(scan, file, algorithms)
            sha256 = whole()
        for name, content in self.layout.written(None).items():
            hashed[name] = {algorithm: hashlib.new(algorithm, content).digest() for algorithm in algorithms}
        parts = {algorithm: self._parts(algorithm, hashed) for algorithm in algorithms}
        values = {algorithm: package_digest(found, algorithm) for algorithm, found in parts.items()}
        return VsixDigest(values, sha256, (scan.finding(),), parts=parts)

    @staticmethod
    def _entries(scan: Scan, file: BinaryIO, algorithms: Collection[DigestAlgorithm]) -> dict[str, _Digests]:
        hashed: dict[str, _Digests] = {}
        current, hashers = None, [(algorithm, hashlib.new(algorithm)) for algorithm in algorithms]
        for entry, _, content in scan.pieces(file):
            if entry is not current:
                if current is not None:
                    hashed[current.name] = {algorithm: hasher.digest() for algorithm, hasher in hashers}
                current, hashers = entry, [(algorithm, hashlib.new(algorithm)) for algorithm in algorithms]
            for _, hasher in hashers:
                hasher.update(content)
        return hashed

    def _parts(self, algorithm: DigestAlgorithm, hashed: Mapping[str, _Digests]) -> tuple[SignedPart, ...]:
        selections = {part.name: part for part in self.selected}
        found = []
        for name in self.layout.covered:
            part = SignedPart(name, self.layout.types.type_of(name) or "", hashed[name][algorithm])
            signed = selections.get(name)
            found.append(part if signed is None else self._selected(part, signed, algorithm))
        return tuple(found)

    def _selected(self, part: SignedPart, signed: SignedPart, algorithm: DigestAlgorithm) -> SignedPart:
        """The part as the signature has it hashed, where that is all of its relationships: else some are not covered,
        and it stays another part than the signed one."""
        content, selection = self.relationships.get(part.name), signed.selection
        if content is None or selection is None:
            return part
        try:
            relationships = read_relationships("", content)
        except ValueError:
            return part
        chosen = relationships.selected(selection.identifiers, selection.kinds)
        if len(chosen) != len(relationships.members):
            return part
        return part._replace(digest=hashlib.new(algorithm, transformed(chosen)).digest(), selection=selection)
