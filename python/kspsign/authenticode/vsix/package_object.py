"""The Object of a package's signature (ECMA-376 Part 2 §13.2.4): each part with its digest, and the signing time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from kspsign.authenticode.vsix.relationships import TRANSFORM
from kspsign.authenticode.xmldsig.algorithms import RSA_ONLY
from kspsign.authenticode.xmldsig.canonical import Canonicalization
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.authenticode.xmldsig.signature import Reference, read_reference
from kspsign.authenticode.xmldsig.structure import XmlFields, malformed, text_of
from kspsign.authenticode.xmldsig.write import Markup, ReferenceTo, element, reference
from kspsign.model.values import DigestAlgorithm

OBJECT_ID = "idPackageObject"
NAMESPACE = "http://schemas.openxmlformats.org/package/2006/digital-signature"
_TIME_ID = "idSignatureTime"
_FORMAT = "YYYY-MM-DDThh:mm:ss.sTZD"
_FORMATS: Final = {
    "YYYY-MM-DDThh:mm:ss.sTZD": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d(?:Z|[+-]\d\d:\d\d)"),
    "YYYY-MM-DDThh:mm:ssTZD": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)"),
    "YYYY-MM-DDThh:mmTZD": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?:Z|[+-]\d\d:\d\d)"),
}
_URI = re.compile(r"/([^?#]+)\?ContentType=([^?#]+)")


class RelationshipFilter(NamedTuple):
    """Which relationships of a part a relationships transform lets through, by their Id and by their Type."""

    identifiers: frozenset[str]
    kinds: frozenset[str]


class SignedPart(NamedTuple):
    """A part as it is signed: its name without the slash in front, its type and its digest. `selection` is which
    relationships are hashed in place of the part's bytes, None where it is those."""

    name: str
    content_type: str
    digest: bytes
    selection: RelationshipFilter | None = None

    @property
    def line(self) -> bytes:
        """What of it goes into the package's digest."""
        kind = "bytes" if self.selection is None else "relationships"
        return f"{self.name}\n{self.content_type}\n{kind}\n{self.digest.hex()}\n".encode()


class PackageObject(NamedTuple):
    """What the signed Object says of the package. `target` is what it gives the signing time as a property of."""

    algorithm: DigestAlgorithm
    parts: tuple[SignedPart, ...]
    time: str
    target: str


def package_digest(parts: Sequence[SignedPart], algorithm: DigestAlgorithm) -> bytes:
    """One digest of all parts with their types, whatever their order."""
    return hashlib.new(algorithm, b"".join(sorted(part.line for part in parts))).digest()


def write_package_object(parts: Sequence[SignedPart], algorithm: DigestAlgorithm, moment: datetime) -> Markup:
    """The Object that signs these parts, by name."""
    references = (
        reference(ReferenceTo(f"/{part.name}?ContentType={part.content_type}", part.digest, algorithm), RSA_ONLY)
        for part in sorted(parts)
    )
    time = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.0+00:00"
    written = element(
        "SignatureTime", {"xmlns": NAMESPACE}, element("Format", None, _FORMAT), element("Value", None, time)
    )
    return element(
        "Object",
        {"Id": OBJECT_ID},
        element("Manifest", None, *references),
        element("SignatureProperties", None, element("SignatureProperty", {"Id": _TIME_ID, "Target": ""}, written)),
    )


def read_package_object(found: XmlNode) -> PackageObject:
    """What the Object says; raises TrustError (TRUST_E_MALFORMED_SIGNATURE, NTE_BAD_ALGID) for anything that it may not
    have."""
    fields = XmlFields(found, ("Id",))
    if found.get("Id") != OBJECT_ID:
        raise malformed(f"an Object has not the Id {OBJECT_ID}")
    manifest, properties = fields.take("Manifest"), fields.take("SignatureProperties")
    fields.end()
    time, target = _time(properties)
    listed = XmlFields(manifest)
    references = tuple(read_reference(item, RSA_ONLY) for item in listed.several("Reference"))
    listed.end()
    algorithms = {item.algorithm for item in references}
    if len(algorithms) != 1:
        raise malformed(f"it signs no parts, or these with {len(algorithms)} digest algorithms")
    parts = tuple(map(_part, references))
    if len({part.name.lower() for part in parts}) < len(parts):
        raise malformed("it signs a part twice")
    return PackageObject(references[0].algorithm, parts, time, target)


def _part(found: Reference) -> SignedPart:
    uri = _URI.fullmatch(found.uri)
    if uri is None or found.kind:
        raise malformed(f'"{found.uri}" is not a part with its type')
    return SignedPart(uri[1], uri[2], found.digest, _selection(found))


def _selection(found: Reference) -> RelationshipFilter | None:
    """The relationships transform is known, with canonicalisation after it, and no other (§13.2.4.25)."""
    if not found.transforms:
        return None
    steps = tuple(step.algorithm for step in found.transforms)
    if steps != (TRANSFORM, Canonicalization.INCLUSIVE) or found.transforms[1].parameters:
        raise malformed(f"the transforms of {found.uri} are not those of relationships: {', '.join(steps)}")
    identifiers, kinds = set(), set()
    for item in found.transforms[0].parameters:
        XmlFields(item, ("SourceId", "SourceType")).end()
        by_id, by_kind = item.get("SourceId"), item.get("SourceType")
        if item.is_named(NAMESPACE, "RelationshipReference") and by_id and by_kind is None:
            identifiers.add(by_id)
        elif item.is_named(NAMESPACE, "RelationshipsGroupReference") and by_kind and by_id is None:
            kinds.add(by_kind)
        else:
            raise malformed(f"the relationships transform of {found.uri} has a {item.name}")
    return RelationshipFilter(frozenset(identifiers), frozenset(kinds))


def _time(properties: XmlNode) -> tuple[str, str]:
    """The signing time as it is written, and what it is a property of."""
    outer = XmlFields(properties)
    holder = outer.take("SignatureProperty")
    outer.end()
    inner = XmlFields(holder, ("Id", "Target"))
    if holder.get("Id") != _TIME_ID:
        raise malformed(f"a SignatureProperty has not the Id {_TIME_ID}")
    stated = XmlFields(inner.take("SignatureTime", NAMESPACE))
    inner.end()
    style, value = text_of(stated.take("Format", NAMESPACE)), text_of(stated.take("Value", NAMESPACE))
    stated.end()
    pattern = _FORMATS.get(style)
    if pattern is None or not pattern.fullmatch(value):
        raise malformed(f'the signing time "{value}" is not in a format that packages have')
    try:
        datetime.fromisoformat(value)
    except ValueError as broken:
        raise malformed(f'"{value}" is not a time') from broken
    return value, holder.get("Target") or ""
