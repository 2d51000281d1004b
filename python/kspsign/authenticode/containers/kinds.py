"""The kinds of containers, and how one is detected: by its content, where several readers take the same by its name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from kspsign.authenticode.formats import READ_BY_NAME, detect_format
from kspsign.authenticode.navx import HEADER, is_navx
from kspsign.authenticode.signable import Glimpse
from kspsign.authenticode.vsix.names import CODE_EXTENSION, MANIFEST
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
    APP = "app"


MSIX: Final = frozenset({ContainerKind.MSIX, ContainerKind.MSIX_BUNDLE})
"""Packages with a block map."""
_ARCHIVE_MAGIC: Final = b"PK\3\4"
_PACKAGES: Final[Mapping[Format | None, ContainerKind]] = {
    Format.NUGET: ContainerKind.NUPKG,
    Format.APPX: ContainerKind.MSIX,
    Format.APPX_BUNDLE: ContainerKind.MSIX_BUNDLE,
    Format.VSIX: ContainerKind.VSIX,
}

_NAMES: Final = frozenset({*READ_BY_NAME, ".zip"})
_EMPTY: Final = b"PK\5\6".ljust(22, b"\0")


def is_named_container(head: bytes, suffix: str) -> bool:
    """Whether readers open a file with this extension (in lower case) as a container, whatever its first bytes `head`
    are: many look for an archive from its end. One that holds nothing counts as none."""
    return suffix in _NAMES and head != _EMPTY


def detect_container(glimpse: Glimpse) -> ContainerKind | None:
    """The kind of container that a file is; None when it is none.

    An archive of another name (.jar, .whl, .docx) is none: its readers check what it holds in their own way. Nor is a
    Business Central runtime package, whose content is scrambled; another .app may hold one, with compiled code.
    """
    if is_navx(glimpse):
        return ContainerKind.APP if glimpse.head.startswith(_ARCHIVE_MAGIC, HEADER) else None
    if not glimpse.head.startswith(_ARCHIVE_MAGIC):
        return None
    suffix = glimpse.path.suffix.lower()
    kind = _PACKAGES.get(detect_format(glimpse))
    if kind is ContainerKind.NUPKG and suffix == ".snupkg":
        return ContainerKind.SNUPKG
    if kind is None and (suffix == ".zip" or _is_code_extension(glimpse, suffix)):
        return ContainerKind.ZIP
    return kind


def _is_code_extension(glimpse: Glimpse, suffix: str) -> bool:
    """Whether it is a package of Visual Studio Code, which has no place for a signature."""
    return suffix == ".vsix" and {MANIFEST, CODE_EXTENSION} <= (entry_names(glimpse) or frozenset())
