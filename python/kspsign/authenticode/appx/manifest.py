"""What the manifest of a package or a bundle says that a signature depends on: its publisher, its inner packages."""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.authenticode.appx.names import from_windows
from kspsign.authenticode.appx.xml import Element, read_xml

_MAX_PUBLISHER = 8192  # characters (ST_Publisher)


@dataclass(frozen=True, slots=True)
class InnerPackage:
    """A package in a bundle: its plain name, where its bytes begin in the bundle, and how many they are."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """`publisher` is Identity's Publisher as it is written; `packages` are those that a bundle has inside."""

    publisher: str
    packages: tuple[InnerPackage, ...] = ()


def read_manifest(data: bytes, *, bundle: bool) -> Manifest:
    """The manifest in `data`; raises ValueError when it has no publisher or is another kind of document."""
    publishers: list[str] = []
    packages: list[InnerPackage] = []
    path: list[str] = []

    def start(element: Element) -> None:
        del path[element.depth :]
        path.append(element.name)
        if path == [root, "Identity"]:
            publishers.append(element.attributes.get("Publisher", ""))
        elif path == ["Bundle", "Packages", "Package"] and "Offset" in element.attributes:
            packages.append(_inner(element.attributes))

    root = "Bundle" if bundle else "Package"
    read_xml(data, start)
    if path[0] != root:
        raise ValueError(f"its root is {path[0]}, not {root}")
    if len(publishers) != 1 or not 0 < len(publishers[0]) <= _MAX_PUBLISHER:
        raise ValueError("it has not exactly one Identity with a Publisher")
    return Manifest(publishers[0], tuple(packages))


def _inner(attributes: dict[str, str]) -> InnerPackage:
    try:
        name, offset, size = (attributes[key] for key in ("FileName", "Offset", "Size"))
        return InnerPackage(from_windows(name), int(offset), int(size))
    except (KeyError, ValueError) as broken:
        raise ValueError("a package in it lacks its FileName, Offset or Size") from broken
