"""The kinds of containers, and how one is detected: by its content, where several readers take the same by its name."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kspsign.authenticode.formats import detect_format
from kspsign.authenticode.signable import Glimpse
from kspsign.authenticode.zip import entry_names
from kspsign.model.values import Format


class ContainerKind(StrEnum):
    """What a container is to its readers."""

    ZIP = "zip"
    NUPKG = "nupkg"
    SNUPKG = "snupkg"
    MSIX = "msix"
    MSIX_BUNDLE = "msixbundle"
    VSIX = "vsix"


_ARCHIVE_MAGIC: Final = b"PK\3\4"
_CONTENT_TYPES, _VSIX_MANIFEST = "[Content_Types].xml", "extension.vsixmanifest"


def detect_container(glimpse: Glimpse) -> ContainerKind | None:
    """The kind of container that a file is; None when it is none.

    An archive of another name (.jar, .whl, .docx) is none: its readers check what it holds in their own way.
    """
    if not glimpse.head.startswith(_ARCHIVE_MAGIC):
        return None
    suffix = glimpse.path.suffix.lower()
    format_ = detect_format(glimpse)
    if format_ is Format.NUGET:
        return ContainerKind.SNUPKG if suffix == ".snupkg" else ContainerKind.NUPKG
    if format_ is Format.APPX:
        return ContainerKind.MSIX
    if format_ is Format.APPX_BUNDLE:
        return ContainerKind.MSIX_BUNDLE
    if suffix == ".vsix" and (names := entry_names(glimpse)) is not None:
        return ContainerKind.VSIX if {_CONTENT_TYPES, _VSIX_MANIFEST} <= names else None
    return ContainerKind.ZIP if suffix == ".zip" else None
