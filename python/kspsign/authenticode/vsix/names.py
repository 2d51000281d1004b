"""Names of parts (ECMA-376 Part 2, Open Packaging Conventions, §9.1.1), and where a signature's parts are (§13.2)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

MANIFEST = "extension.vsixmanifest"
CONTENT_TYPES = "[Content_Types].xml"
PACKAGE_RELATIONSHIPS = "_rels/.rels"
FOLDER = "package/services/digital-signature"
ORIGIN = f"{FOLDER}/origin.psdor"
SIGNATURE = f"{FOLDER}/xml-signature/signature.psdsxs"
CODE_EXTENSION = "extension/package.json"
"""What an extension of Visual Studio Code has, whose packages have the same manifest."""
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+")
_NEVER_ENCODED = re.compile(r"%(?:2[DEF]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5C|5F|7E)")
"""Unreserved characters and slashes: a name may have them only as they are (§9.1.1.1)."""


def relationships_of(part: str) -> str:
    """The name of the part with a part's relationships (§9.3.2)."""
    folder, _, name = part.rpartition("/")
    return f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels"


def is_relationships(part: str) -> bool:
    """Whether the name is that of a part with relationships."""
    folder = part.rpartition("/")[0]
    return part.endswith(".rels") and (folder == "_rels" or folder.endswith("/_rels"))


def target_of(source: str, target: str) -> str:
    """The name of the part that a relationship of `source` ("" for the package) leads to; raises ValueError when it is
    not one of the package."""
    path = posixpath.normpath(posixpath.join("/", posixpath.dirname(source), target))
    name = path.removeprefix("/")
    if part_fault(name) is not None:
        raise ValueError(f'"{target}" does not lead to a part')
    return name


def names_fault(names: Iterable[str]) -> str | None:
    """Why these can't be the names of all files in one package; None when they can."""
    known: dict[str, str] = {}
    for name in names:
        if name == CONTENT_TYPES:
            continue
        fault = part_fault(name)
        if fault is not None:
            return f"{name} is not the name of a part: {fault}"
        if known.setdefault(name.lower(), name) != name:
            return f"{name} and {known[name.lower()]} differ in case alone"
    for lower, name in known.items():
        at = lower.find("/")
        while at >= 0:
            if lower[:at] in known:
                return f"{name} is below {known[lower[:at]]}, which is a part itself"
            at = lower.find("/", at + 1)
    return None


def part_fault(name: str) -> str | None:
    """Why no part can have that name (without the slash in front); None when one can."""
    if name.endswith("/"):
        return "it is that of a folder"
    for segment in name.split("/"):
        if not _SEGMENT.fullmatch(segment) or _NEVER_ENCODED.search(segment):
            return "it has a character that must be percent-encoded, or is encoded needlessly"
        if segment.endswith("."):
            return "a folder or file of it ends in a dot"
    return None
