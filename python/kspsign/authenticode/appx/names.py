"""Names of a package's parts: percent-encoded in the archive (ECMA-376 Part 2 §A), plain in block map and manifest."""

from __future__ import annotations

from urllib.parse import unquote

MANIFEST = "AppxManifest.xml"
BUNDLE_MANIFEST = "AppxMetadata/AppxBundleManifest.xml"
BLOCK_MAP = "AppxBlockMap.xml"
CONTENT_TYPES = "[Content_Types].xml"
SIGNATURE = "AppxSignature.p7x"
CODE_INTEGRITY = "AppxMetadata/CodeIntegrity.cat"
NOT_IN_BLOCK_MAP = frozenset({BLOCK_MAP, CONTENT_TYPES, SIGNATURE, CODE_INTEGRITY})


def plain(name: str) -> str:
    """The part's plain name, with slashes; raises ValueError when what is encoded leads out of the package."""
    text = unquote(name, errors="strict")
    if "\\" in text or "\0" in text or set(text.split("/")) & {"", ".", ".."}:
        raise ValueError(f"{name} is not a name that a part of a package may have")
    return text


def from_windows(name: str) -> str:
    """The plain name of a part that block map or manifest name with backslashes."""
    return name.replace("\\", "/")


def to_windows(name: str) -> str:
    """The name with backslashes, as block map and manifest have it."""
    return name.replace("/", "\\")
