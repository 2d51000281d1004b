"""Relationships (ECMA-376 Part 2 §9.3): which part is the signature, and what of them a signature covers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kspsign.authenticode.vsix.names import ORIGIN, SIGNATURE, target_of
from kspsign.authenticode.vsix.part_xml import FlatXml, read_flat
from kspsign.authenticode.xmldsig.write import element

NAMESPACE = "http://schemas.openxmlformats.org/package/2006/relationships"
ORIGIN_KIND = f"{NAMESPACE}/digital-signature/origin"
SIGNATURE_KIND = f"{NAMESPACE}/digital-signature/signature"
TRANSFORM = "http://schemas.openxmlformats.org/package/2006/RelationshipTransform"
_HEAD = f'<?xml version="1.0" encoding="utf-8"?><Relationships xmlns="{NAMESPACE}">'
_EMPTY = f"{_HEAD}</Relationships>".encode()
_ATTRIBUTES = frozenset({"Id", "Type", "Target", "TargetMode"})


class Relationship(NamedTuple):
    """One relationship; `target` as it is written, of another part or, where it `is_external`, of anything."""

    identifier: str
    kind: str
    target: str
    is_external: bool


@dataclass(frozen=True, slots=True)
class Relationships:
    """The relationships of `source` ("" for the package), and the part that has them."""

    source: str
    flat: FlatXml
    members: tuple[Relationship, ...]

    def targets(self, kind: str) -> tuple[str, ...]:
        """The parts that relationships of that kind lead to; raises ValueError for one that leads elsewhere."""
        found = [member for member in self.members if member.kind == kind]
        if any(member.is_external for member in found):
            raise ValueError(f"a relationship {kind} leads out of the package")
        return tuple(target_of(self.source, member.target) for member in found)

    def with_one(self, kind: str, target: str) -> bytes:
        """The part with one more relationship; raises ValueError when that can't be."""
        taken = {member.identifier for member in self.members}
        names = (f"Rkspsign{number or ''}" for number in range(len(taken) + 1))
        made = {"Target": f"/{target}", "Id": next(name for name in names if name not in taken), "Type": kind}
        order = self.flat.order_of("Relationship")
        keys = [key for key in order if key in made] if {*made} <= {*order} else [*made]
        return self.flat.with_items("Relationship", [{key: made[key] for key in keys}])

    def without(self, kind: str) -> bytes | None:
        """The part without the relationships of that kind, None when signing made it and nothing is left."""
        left = self.flat.without(lambda found: found.get("Type") == kind)
        return None if left == _EMPTY else left

    def selected(self, identifiers: Collection[str], kinds: Collection[str]) -> tuple[Relationship, ...]:
        """Those that a signature selects by their Id or their Type."""
        return tuple(found for found in self.members if found.identifier in identifiers or found.kind in kinds)


def read_relationships(source: str, data: bytes) -> Relationships:
    """The relationships in `data`; raises ValueError when they are malformed, or there is anything else."""
    flat = read_flat(data, "Relationships", NAMESPACE)
    members = []
    for found in flat.elements:
        attributes = {item.name: item.value for item in found.attributes if not item.namespace}
        complete = len(attributes) == len(found.attributes) and set(attributes) | {"TargetMode"} == _ATTRIBUTES
        mode = attributes.get("TargetMode", "Internal")
        if not found.is_named(NAMESPACE, "Relationship") or not complete or mode not in {"Internal", "External"}:
            raise ValueError("it has something other than relationships")
        members.append(Relationship(attributes["Id"], attributes["Type"], attributes["Target"], mode == "External"))
    return Relationships(source, flat, tuple(members))


def no_relationships(source: str) -> Relationships:
    """Those of a source that has none yet."""
    return read_relationships(source, _EMPTY)


def origin_relationships() -> bytes:
    """The part of the origin's relationships, which leads to the signature alone."""
    return no_relationships(ORIGIN).with_one(SIGNATURE_KIND, SIGNATURE)


def transformed(members: Sequence[Relationship]) -> bytes:
    """What the relationships transform makes of these, in canonical form (§13.2.4.26)."""
    written = []
    for found in sorted(members, key=lambda member: member.identifier):
        mode = "External" if found.is_external else "Internal"
        attributes = {"Id": found.identifier, "Target": found.target, "TargetMode": mode, "Type": found.kind}
        written.append(element("Relationship", attributes))
    return element("Relationships", {"xmlns": NAMESPACE}, *written).encode()
