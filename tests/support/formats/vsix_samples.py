"""VSIX packages as Visual Studio's SDK packs them."""

from __future__ import annotations

import random

from support.formats.zips import Part, build_zip

RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
MANIFEST = b'<?xml version="1.0" encoding="utf-8"?><PackageManifest Version="2.0.0"/>'
_DEFAULTS = {
    "vsixmanifest": "text/xml",
    "dll": "application/octet-stream",
    "pkgdef": "text/plain",
    "json": "application/json",
}


def content_types(*more: str, ending: str = " /") -> bytes:
    """The types of a package's parts; `more` are further elements."""
    defaults = "".join(f'<Default Extension="{name}" ContentType="{kind}"{ending}>' for name, kind in _DEFAULTS.items())
    head = '\ufeff<?xml version="1.0" encoding="utf-8"?>'
    return f'{head}<Types xmlns="{TYPES}">{defaults}{"".join(more)}</Types>'.encode()


def relationships(*members: str) -> bytes:
    """A part with relationships: these elements."""
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return f'{head}<Relationships xmlns="{RELATIONSHIPS}">{"".join(members)}</Relationships>'.encode()


PARTS = (
    Part("extension.vsixmanifest", MANIFEST, deflate=True),
    Part("Contoso.Tools.dll", b"MZ" + bytes(range(256)) * 8, deflate=True),
    Part("Contoso.Tools.pkgdef", b"[$RootKey$]\r\n" * 20, deflate=True),
    Part("Resources/Some%20file.json", b"{}"),
    Part("manifest.json", b'{"id": "Contoso"}', descriptor=True),
)


def package(*more: Part, types: bytes | None = None, without: str = "") -> bytes:
    """An unsigned package."""
    parts = [part for part in (*PARTS, *more) if part.name != without]
    return build_zip([*parts, Part("[Content_Types].xml", types or content_types(), deflate=True)])


def seeded(seed: object) -> random.Random:
    """A source that gives the same each time."""
    return random.Random(f"vsix {seed}")  # noqa: S311 - reproducible, not secret
