"""The files that a manifest states size and hash of ([MS-CLICKONCE] application and deployment manifests)."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Final, NamedTuple

from kspsign.authenticode.appx.names import windows_fault
from kspsign.authenticode.clickonce.names import ASM_V1, ASM_V2, DIALECT, HASH_TRANSFORM
from kspsign.authenticode.references import FileReference, SizedDigest
from kspsign.authenticode.xmldsig.algorithms import DSIG
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Format

DEPLOY: Final = ".deploy"
"""What a publisher may append to the names of files, so that web servers deliver them (mapFileExtensions)."""
_INSTALLED = "install"
_ELSEWHERE = "preRequisite"
_MAX_REFERENCES = 100_000


class Entry(NamedTuple):
    """A file's entry: its element (`file` or `dependentAssembly`), the elements in it that change with the file, and
    what it states. `identity` is that of an assembly, None for other files."""

    element: XmlNode
    digest_value: XmlNode
    identity: XmlNode | None
    name: str
    algorithm: DigestAlgorithm
    stated: SizedDigest


def read_entries(root: XmlNode) -> tuple[Entry, ...]:
    """The entries of all files that the manifest `root` brings, in document order.

    Raises ValueError for an entry that does not say which bytes it is of: without size or hash, with another transform
    than the identity, with an unknown digest algorithm, or with a name that is not a relative path.
    """
    entries = tuple(_entry(element) for element in _file_elements(root))
    if len(entries) > _MAX_REFERENCES:
        raise ValueError(f"it has more than {_MAX_REFERENCES} files")
    return entries


def _file_elements(root: XmlNode) -> Iterator[XmlNode]:
    """Elements of files anywhere in it: a reader of manifests finds them wherever it looks."""
    for element in root.iterate():
        if element.namespace in {ASM_V1, ASM_V2} and element.name == "file":
            yield element
        elif element.is_named(ASM_V2, "dependentAssembly") or element.is_named(ASM_V1, "dependentAssembly"):
            kind = _stated(element, "dependencyType")
            if kind == _INSTALLED:
                yield element
            elif kind != _ELSEWHERE and (_stated(element, "codebase") is not None or _children(element, "hash")):
                raise ValueError(f'an assembly that it depends on has the type "{kind}", not {_INSTALLED}')


def _entry(element: XmlNode) -> Entry:
    is_assembly = element.name == "dependentAssembly"
    name = _stated(element, "codebase" if is_assembly else "name")
    if name is None:
        raise ValueError("an entry names no file")
    _check_name(name)
    size = _stated(element, "size")
    if size is None or not size.isascii() or not size.isdigit():
        raise ValueError(f"it states no size of {name}")
    algorithm, digest_value = _hash_of(element, name)
    try:
        digest = base64.b64decode(digest_value.text.strip(), validate=True)
    except binascii.Error as broken:
        raise ValueError(f"its hash of {name} is not base64: {broken}") from broken
    identities = [child for child in element.elements if child.name == "assemblyIdentity"]
    if len(identities) != is_assembly and (is_assembly or len(identities) > 1):
        raise ValueError(f"its entry of {name} has {len(identities)} identities")
    identity = identities[0] if is_assembly else None
    return Entry(element, digest_value, identity, name, algorithm, SizedDigest(int(size), digest))


def _hash_of(element: XmlNode, name: str) -> tuple[DigestAlgorithm, XmlNode]:
    """The digest algorithm and the element of the value, of the one hash that an entry has."""
    hashes = _children(element, "hash")
    if len(hashes) != 1:
        raise ValueError(
            f"it has {len(hashes)} hashes of {name}" if hashes else f"it has no hash of {name}: no signature covers it"
        )
    parts = hashes[0].elements
    if [(part.namespace, part.name) for part in parts] != [
        (DSIG, part) for part in ("Transforms", "DigestMethod", "DigestValue")
    ]:
        raise ValueError(f"its hash of {name} has other parts than transforms, method and value")
    transforms = [(part.name, part.get("Algorithm")) for part in parts[0].elements]
    if transforms != [("Transform", HASH_TRANSFORM)]:
        raise ValueError(f"its hash of {name} is of something made of the file: another transform than the identity")
    method = parts[1].get("Algorithm") or ""
    if method not in DIALECT.digests:
        raise ValueError(f"its hash of {name} has an unknown algorithm: {method}")
    return DIALECT.digests[method], parts[2]


def _stated(element: XmlNode, name: str) -> str | None:
    """The value of an attribute, which older manifests write with the namespace; raises ValueError for both."""
    plain, prefixed = element.get(name), element.get(name, ASM_V2)
    if plain is not None and prefixed is not None:
        raise ValueError(f"a {element.name} states its {name} twice")
    return prefixed if plain is None else plain


def _children(element: XmlNode, name: str) -> list[XmlNode]:
    return [child for child in element.elements if child.name == name and child.namespace in {ASM_V1, ASM_V2}]


def _check_name(name: str) -> None:
    path = PureWindowsPath(name)
    odd = path.is_absolute() or path.drive or path.root or ".." in path.parts or ":" in name or "\0" in name
    if odd or not path.parts or "://" in name:
        raise ValueError(f"it names a file by {name!r}, which is not a path below its own folder")
    fault = windows_fault("/".join(path.parts))
    if fault is not None:
        raise ValueError(f"it names a file by {name!r}: {fault}")


def references_of(entries: tuple[Entry, ...], folder: Path, *, deployment: bool) -> tuple[FileReference, ...]:
    """The files of `entries` as they lie around a manifest in `folder`, a file of several entries once for each.

    Raises ArtifactError (ERROR_BAD_FORMAT) for a file that is there with .deploy appended and without.
    """
    if not deployment:
        return tuple(
            FileReference(entry.name, _place(folder, entry.name), entry.algorithm, entry.stated) for entry in entries
        )
    base, format_ = _deployment_base(entries, folder), Format.CLICKONCE_APPLICATION
    return tuple(
        FileReference(entry.name, _path(base, entry.name), entry.algorithm, entry.stated, format_) for entry in entries
    )


def _path(base: Path, name: str) -> Path:
    return base.joinpath(*PureWindowsPath(name).parts)


def _place(base: Path, name: str) -> Path:
    """Where a file of an application is: by its name, or with .deploy appended."""
    path = _path(base, name)
    appended = path.with_name(path.name + DEPLOY)
    if not os.path.lexists(appended):
        return path
    if os.path.lexists(path):
        raise ArtifactError(
            Hresult.ERROR_BAD_FORMAT,
            f"{name} and {name}{DEPLOY} are both there, and users get one of them",
            remedy=f"Remove one: with mapFileExtensions in the deployment the file without {DEPLOY} is not delivered.",
        )
    return appended


def _deployment_base(entries: tuple[Entry, ...], folder: Path) -> Path:
    """The folder that a deployment's paths start from: its own; of the copy that publishing leaves next to the
    application manifest, whose paths are those of the original, the folder that leads back to it."""
    for entry in entries:
        *folders, name = PureWindowsPath(entry.name).parts
        is_copy = folders and folder.parts[-len(folders) :] == tuple(folders)
        if is_copy and not os.path.lexists(folder.joinpath(*folders, name)):
            return folder.parents[len(folders) - 1]
    return folder
