"""[Content_Types].xml (ECMA-376 Part 2 §10.1.2): no signature covers it, but each part is signed with its type.

So it is read strictly: it has nothing but types, none of a part that is not there, and they are spelled as one program
would. A type for an extension that no part has is harmless, and usual.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kspsign.authenticode.vsix.names import CONTENT_TYPES
from kspsign.authenticode.vsix.part_xml import FlatXml, read_flat
from kspsign.authenticode.xmldsig.document import XmlNode

RELATIONSHIPS_TYPE = "application/vnd.openxmlformats-package.relationships+xml"
ORIGIN_TYPE = "application/vnd.openxmlformats-package.digital-signature-origin"
SIGNATURE_TYPE = "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml"
_SIGNING = {"rels": RELATIONSHIPS_TYPE, "psdor": ORIGIN_TYPE, "psdsxs": SIGNATURE_TYPE}
_SIGNATURE_TYPES = frozenset({
    ORIGIN_TYPE, SIGNATURE_TYPE, "application/vnd.openxmlformats-package.digital-signature-certificate",
})  # fmt: skip
_NAMESPACE = "http://schemas.openxmlformats.org/package/2006/content-types"
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_EXTENSION = re.compile(r"[A-Za-z0-9_+~$-]{1,64}")


@dataclass(frozen=True, slots=True)
class PackageTypes:
    """The document, and the types by extension and by part, both in lower case."""

    flat: FlatXml
    extensions: Mapping[str, str]
    parts: Mapping[str, str]

    @property
    def content(self) -> bytes:
        """The document."""
        return self.flat.content

    def type_of(self, name: str) -> str | None:
        """The type of a part, None when it has none."""
        found = self.parts.get(name.lower())
        if found is not None:
            return found
        _, dot, extension = name.rpartition("/")[2].rpartition(".")
        return self.extensions.get(extension.lower()) if dot else None

    def fault(self, names: Collection[str]) -> str | None:
        """Why these are not the types of exactly the parts with these `names`; None when they are."""
        for name in names:
            if name != CONTENT_TYPES and self.type_of(name) is None:
                return f"{name} has no content type: no reader takes it for a part"
        extensions = {name.rpartition(".")[2] for name in names}
        lower = {extension.lower() for extension in extensions}
        for element in self.flat.elements:
            part, extension = element.get("PartName"), element.get("Extension") or ""
            if part is not None and part[1:] not in names:
                return f"it has a type for {part}, which is not there"
            if extension.lower() in lower and extension not in extensions:
                return f"it has a type for .{extension}, which every part has in another case"
        return None

    def is_for_signature(self, name: str) -> bool:
        """Whether a part has a type that only a signature's parts have."""
        return self.type_of(name) in _SIGNATURE_TYPES

    def with_signature(self) -> PackageTypes:
        """The same with the types of a signature's parts; raises ValueError when it has others for their extensions."""
        added = []
        for extension, kind in _SIGNING.items():
            found = self.extensions.get(extension)
            if found is None:
                added.append({"Extension": extension, "ContentType": kind})
            elif found != kind:
                raise ValueError(f"it has the type {found} for .{extension}, which is {kind} in a signed package")
        order = self.flat.order_of("Default") or ("Extension", "ContentType")
        items = [{key: item[key] for key in order} for item in added]
        return read_content_types(self.flat.with_items("Default", items))

    def without_signature(self, removed: Iterable[str], kept: Iterable[str]) -> PackageTypes:
        """The same without the types of the parts that are `removed`, when only those that are `kept` have one."""
        gone = {f"/{name}".lower() for name in removed}
        left = {name.rpartition(".")[2].lower() for name in kept}
        unused = {extension for extension in _SIGNING if extension not in left}

        def is_cut(element: XmlNode) -> bool:
            name, extension = element.get("PartName"), element.get("Extension")
            if name is not None:
                return name.lower() in gone
            return extension is not None and extension.lower() in unused

        return read_content_types(self.flat.without(is_cut))


def read_content_types(data: bytes) -> PackageTypes:
    """The types in `data`; raises ValueError when they are malformed, one thing has two, or there is anything else."""
    flat = read_flat(data, "Types", _NAMESPACE)
    extensions: dict[str, str] = {}
    parts: dict[str, str] = {}
    for element in flat.elements:
        attributes = {item.name: item.value for item in element.attributes if not item.namespace}
        kind = attributes.get("ContentType", "")
        if len(attributes) != len(element.attributes) or len(attributes) != 2 or not _MEDIA_TYPE.fullmatch(kind):
            raise ValueError(f'a type in it is not one that can be signed: "{kind}"')
        if element.is_named(_NAMESPACE, "Default") and "Extension" in attributes:
            _add(extensions, _extension(attributes["Extension"]), kind)
        elif element.is_named(_NAMESPACE, "Override") and attributes.get("PartName", "").startswith("/"):
            _add(parts, attributes["PartName"][1:], kind)
        else:
            raise ValueError(f"it has a {element.name} that is not a type")
    return PackageTypes(flat, extensions, parts)


def _extension(text: str) -> str:
    if not _EXTENSION.fullmatch(text):
        hint = ": it is written without its dot" if text.startswith(".") else ""
        raise ValueError(f'"{text}" is not an extension{hint}')
    return text


def _add(table: dict[str, str], key: str, kind: str) -> None:
    if not key or key.lower() in table:
        raise ValueError(f'"{key}" has two types in it, or is empty')
    table[key.lower()] = kind
