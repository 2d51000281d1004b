"""The parts of a manifest that a signature depends on: the package's identity, and a bundle's list of packages.

Schemas: AppxManifest (foundation) and BundleManifestSchema2013 to 2019 of microsoft/msix-packaging.
"""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.authenticode.appx.names import from_windows
from kspsign.authenticode.appx.xml import XmlElement, read_xml

_MAX_PUBLISHER = 8192  # characters (ST_Publisher)
_MAX_DIGITS = 20  # of an xs:unsignedLong
_PACKAGES = ["Bundle", "Packages", "Package"]
_MAX_PACKAGES = 10_000
_RESOURCE_PACKAGE = ["Package", "Properties", "ResourcePackage"]
_TYPES = {"application": False, "resource": True}
_NAMESPACES = "http://schemas.microsoft.com/appx/"
"""What the namespaces of all schemas of manifests begin with; elements of others say nothing to Windows."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a package or bundle is, as its manifest's Identity has it; what is not given has the schema's default, the
    version None."""

    publisher: str
    name: str = ""
    version: str | None = None
    architecture: str = "neutral"
    resource_id: str = ""


@dataclass(frozen=True, slots=True)
class InnerPackage:
    """A package in a bundle: its plain name, where its bytes begin in the bundle, how many they are, and what the
    bundle's manifest says of it."""

    name: str
    offset: int
    size: int
    identity: Identity
    resource: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's `identity`; whether it is that of a `resource` package; the packages that a bundle has inside, and
    how many of those that it names, inside or not, are applications."""

    identity: Identity
    resource: bool = False
    packages: tuple[InnerPackage, ...] = ()
    applications: int = 0

    @property
    def publisher(self) -> str:
        """Identity's Publisher as it is written."""
        return self.identity.publisher


def identity_difference(stated: InnerPackage, inner: Manifest) -> str | None:
    """How a package's own manifest contradicts what its bundle says of it; None when they agree."""
    here, there = stated.identity, inner.identity
    pairs = {
        "name": (here.name.lower(), there.name.lower()),
        "version": (here.version, there.version),
        "architecture": (here.architecture, there.architecture),
        "resource id": (here.resource_id, there.resource_id),
        "type": (_type(stated.resource), _type(inner.resource)),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            return f'has the {what} "{found}", the bundle\'s manifest says "{wanted}"'
    return None


def read_manifest(data: bytes, *, bundle: bool) -> Manifest:
    """The manifest in `data`; raises ValueError when it has no publisher or is another kind of document."""
    reader = _ManifestReader("Bundle" if bundle else "Package")
    read_xml(data, reader.start, text=reader.text)
    return reader.manifest()


class _ManifestReader:
    """Takes in the elements of a manifest."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._path: list[str] = []
        self._identities: list[Identity] = []
        self._packages: list[dict[str, str]] = []
        self._resource = ""

    def start(self, element: XmlElement) -> None:
        """The next start tag."""
        del self._path[element.depth :]
        known = element.namespace.startswith(_NAMESPACES)
        self._path.append(element.name if known else f"{element.name} of another namespace")
        if self._path == [self._root, "Identity"]:
            self._identities.append(_identity(element.attributes))
        elif self._path == _PACKAGES:
            self._packages.append(element.attributes)
            if len(self._packages) > _MAX_PACKAGES:
                raise ValueError(f"it names more than {_MAX_PACKAGES} packages")

    def text(self, piece: str) -> None:
        """Text in the last element, or after one in it."""
        if self._path == _RESOURCE_PACKAGE:
            self._resource += piece

    def manifest(self) -> Manifest:
        """The whole, once everything was read; raises ValueError."""
        if self._path[0] != self._root:
            raise ValueError(f"its root is {self._path[0]}, not {self._root}")
        if len(self._identities) != 1 or not 0 < len(self._identities[0].publisher) <= _MAX_PUBLISHER:
            raise ValueError("it does not have exactly one Identity with a Publisher")
        own = self._identities[0]
        names = [from_windows(package.get("FileName", "")).lower() for package in self._packages]
        if len(set(names)) != len(names):
            raise ValueError("it names a package twice")
        inside = tuple(_inner(package, own) for package in self._packages if "Offset" in package)
        if len({_full_name(package) for package in inside}) != len(inside):
            raise ValueError("two packages in it have one identity: version, architecture, resource id and type")
        applications = sum(not _is_resource(package) for package in self._packages)
        return Manifest(own, self._resource.strip() in {"true", "1"}, inside, applications)


def _identity(attributes: dict[str, str]) -> Identity:
    return Identity(
        publisher=attributes.get("Publisher", ""),
        name=attributes.get("Name", ""),
        version=attributes.get("Version"),
        architecture=attributes.get("ProcessorArchitecture", "neutral"),
        resource_id=attributes.get("ResourceId", ""),
    )


def _inner(attributes: dict[str, str], bundle: Identity) -> InnerPackage:
    try:
        name, offset, size = (attributes[key] for key in ("FileName", "Offset", "Size"))
        identity = Identity(
            bundle.publisher,
            bundle.name,
            attributes.get("Version"),
            attributes.get("Architecture", "neutral"),
            attributes.get("ResourceId", ""),
        )
        return InnerPackage(from_windows(name), _number(offset), _number(size), identity, _is_resource(attributes))
    except (KeyError, ValueError) as broken:
        raise ValueError("a package in it lacks its FileName, Offset or Size, or has an unknown Type") from broken


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS):
        raise ValueError(f'"{text}" is not a number of bytes')
    return int(text)


def _full_name(package: InnerPackage) -> tuple[object, ...]:
    """What no other package of the bundle may have; a stub package has the identity of the package that it is a stub
    of, and lies in another folder."""
    folder = package.name.lower().rpartition("/")[0]
    identity = package.identity
    return folder, package.resource, identity.version, identity.architecture, identity.resource_id.lower()


def _is_resource(attributes: dict[str, str]) -> bool:
    kind = attributes.get("Type", "resource")
    if kind not in _TYPES:
        raise ValueError(f'a package in it has the Type "{kind}", neither application nor resource')
    return _TYPES[kind]


def _type(resource: bool) -> str:
    return next(name for name, value in _TYPES.items() if value is resource)
