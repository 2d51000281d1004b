"""Which entries a package has: as it is, without its signature, and with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kspsign.authenticode.vsix.content_types import ORIGIN_TYPE, SIGNATURE_TYPE, PackageTypes
from kspsign.authenticode.vsix.errors import UnnamedPartsError
from kspsign.authenticode.vsix.names import CONTENT_TYPES, ORIGIN, PACKAGE_RELATIONSHIPS, SIGNATURE, relationships_of
from kspsign.authenticode.vsix.relationships import (
    ORIGIN_KIND,
    SIGNATURE_KIND,
    Relationships,
    no_relationships,
    origin_relationships,
    read_relationships,
)


@dataclass(frozen=True, slots=True)
class PackageLayout:
    """The entries by name, each with its content where that is not the archive's (None: it is). `signature` is the part
    of the signature, None when there is none; `services` are the parts that are there for it alone."""

    entries: Mapping[str, bytes | None]
    types: PackageTypes
    package: Relationships | None
    signature: str | None = None
    services: frozenset[str] = frozenset()

    @property
    def covered(self) -> tuple[str, ...]:
        """The parts that a signature covers: all but itself."""
        return tuple(name for name in self.entries if name not in {CONTENT_TYPES, self.signature})

    def without_signature(self) -> PackageLayout:
        """The package as it is unsigned; raises ValueError when its own parts can't be changed back."""
        if self.signature is None or self.package is None:
            return self
        gone = {*self.services, self.signature}
        relationships = self.package.without(ORIGIN_KIND)
        if relationships is None:
            gone.add(PACKAGE_RELATIONSHIPS)
        kept = {name: content for name, content in self.entries.items() if name not in gone}
        types = self.types.without_signature(gone, kept)
        kept[CONTENT_TYPES] = types.content
        if relationships is not None:
            kept[PACKAGE_RELATIONSHIPS] = relationships
        package = None if relationships is None else read_relationships("", relationships)
        return PackageLayout(kept, types, package)

    def with_signature(self) -> PackageLayout:
        """An unsigned package with the parts of a signature, which itself is still to come; raises ValueError when they
        can't be added."""
        relationships = (self.package or no_relationships("")).with_one(ORIGIN_KIND, ORIGIN)
        types = self.types.with_signature()
        origins = relationships_of(ORIGIN)
        added = {
            CONTENT_TYPES: types.content,
            PACKAGE_RELATIONSHIPS: relationships,
            ORIGIN: b"",
            origins: origin_relationships(),
        }
        entries = {**self.entries, **added, SIGNATURE: b""}
        package = read_relationships("", relationships)
        return PackageLayout(entries, types, package, SIGNATURE, frozenset({ORIGIN, origins}))

    def written(self, signature: bytes | None) -> Mapping[str, bytes]:
        """The parts that are not those of the archive, by name; `signature` in its part."""
        found = {name: content for name, content in self.entries.items() if content is not None}
        return found if signature is None or self.signature is None else {**found, self.signature: signature}


def read_layout(names: tuple[str, ...], types: PackageTypes, parts: Mapping[str, bytes]) -> PackageLayout:
    """The layout of a package with entries of these `names`; `parts` has the content of all its relationships.

    Raises ValueError when what leads to a signature is not as it must be, UnnamedPartsError when there are parts of a
    signature to which nothing leads.
    """
    data = parts.get(PACKAGE_RELATIONSHIPS)
    package = None if data is None else read_relationships("", data)
    unsigned = PackageLayout(dict.fromkeys(names), types, package)
    origins = () if package is None else package.targets(ORIGIN_KIND)
    if not origins:
        stray = next((name for name in names if types.is_for_signature(name)), None)
        if stray is not None:
            raise UnnamedPartsError(f"{stray}, to which no relationship leads")
        return unsigned
    if len(origins) != 1 or origins[0] not in names:
        raise ValueError(f"{len(origins)} relationships lead to the origin of its signatures, or the part is missing")
    (origin,) = origins
    services = relationships_of(origin)
    if services not in parts:
        raise ValueError("nothing leads from the origin of its signatures to one")
    signatures = read_relationships(origin, parts[services])
    found = signatures.targets(SIGNATURE_KIND)
    if len(found) != 1 or len(signatures.members) != 1 or found[0] not in names:
        raise ValueError(f"it has {len(found)} signatures, or more than a signature at their origin; one is supported")
    (signature,) = found
    if (types.type_of(origin), types.type_of(signature)) != (ORIGIN_TYPE, SIGNATURE_TYPE):
        raise ValueError("the parts of its signature have other content types")
    stray = next((name for name in names if types.is_for_signature(name) and name not in {origin, signature}), None)
    if stray is not None or relationships_of(signature) in names:
        raise ValueError(f"it has a further part of a signature: {stray or relationships_of(signature)}")
    return replace(unsigned, signature=signature, services=frozenset({origin, services}))
