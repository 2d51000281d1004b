"""Names of a package's parts: percent-encoded in the archive (ECMA-376 Part 2 §A), plain in block map and manifest."""

from __future__ import annotations

import re
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


_RESERVED = frozenset('<>:"|?*') | frozenset(map(chr, range(0x20)))
_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.DOTALL)
_MAX_NAME, _MAX_SEGMENT = 32767, 255


def windows_fault(name: str) -> str | None:
    """Why Windows makes no file of that plain name and refuses a package that has one (microsoft/msix-packaging,
    FileNameValidation); None when it does."""
    if len(name) > _MAX_NAME:
        return "it is too long"
    for segment in name.split("/"):
        lower = segment.lower()
        if not segment or segment[-1] in {".", " "}:
            return "a folder or file of it has no name, or one that ends in a dot or a space"
        if len(segment.encode("utf-16-le", "surrogatepass")) > 2 * _MAX_SEGMENT:
            return f"a folder or file of it has a name of more than {_MAX_SEGMENT} characters"
        if _RESERVED & set(segment) or {"\ufffe", "\uffff"} & set(segment):
            return "it has a character that no name on Windows has"
        if _DEVICE.fullmatch(lower) or lower.startswith("xn--"):
            return f"{segment} is reserved for a device or a host name"
    return None


def from_windows(name: str) -> str:
    """The plain name of a part that block map or manifest name with backslashes."""
    return name.replace("\\", "/")


def to_windows(name: str) -> str:
    """The name with backslashes, as block map and manifest have it."""
    return name.replace("/", "\\")
