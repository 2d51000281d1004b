"""Packages and bundles as MakeAppx packs them, small, and every part of them open to a test."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import zip_longest
from urllib.parse import quote, unquote

from support.formats.zips import BLOCK, Part, build_zip

PUBLISHER = "CN=Test publisher"
METHODS = {
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "sha384": "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
}
FILES = {
    "App.exe": b"MZ" + bytes(range(256)) * 600,
    "Assets/Größe & 100%.png": b"\x89PNG" + bytes(100),
    "empty.txt": b"",
    "exactly.bin": b"x" * BLOCK,
}
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
TYPES_NAMESPACE = "http://schemas.openxmlformats.org/package/2006/content-types"


@dataclass(frozen=True)
class Package:
    """What goes into a package; `build` packs it. `parts` replaces or adds entries as the last step; `order` moves
    the content types before the manifest. `identity` are further attributes of Identity, `properties` what the
    Properties hold; `bundle_manifest` replaces text of a bundle's manifest."""

    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    publisher: str = PUBLISHER
    algorithm: str = "sha256"
    zip64: bool = True
    code_integrity: bytes | None = None
    types: str = ""
    block_map: Mapping[str, str] = field(default_factory=dict)
    order: bool = False
    extra: Sequence[Part] = ()
    identity: str = ""
    properties: str = ""
    bundle_manifest: Mapping[str, str] = field(default_factory=dict)

    def build(self) -> bytes:
        """The unsigned package."""
        manifest = (
            f'{_HEAD}<Package xmlns="http://schemas.microsoft.com/appx/manifest/foundation/windows10"><Identity '
            f'Name="kspsign.test" Publisher="{escape(self.publisher)}" Version="1.0.0.0"{self.identity}/>'
            f"<Properties>{self.properties}</Properties></Package>"
        )
        parts = [self._part(quote(name, safe="/"), data) for name, data in self.files.items()]
        return self._pack([*parts, self._part("AppxManifest.xml", manifest.encode())])

    def bundle(self, packages: Mapping[str, bytes], architectures: Sequence[str] = ()) -> bytes:
        """An unsigned bundle of these packages; its manifest states these `architectures` ("": none)."""
        inner = [replace(self._part(name, data), deflate=False) for name, data in packages.items()]
        offset, told = 0, ""
        for part, architecture in zip_longest(inner, architectures, fillvalue=""):
            assert isinstance(part, Part)
            stated = f'Architecture="{architecture}" ' if architecture else ""
            place = offset + part.header_size
            name = unquote(part.name)
            told += (
                f'<Package Type="application" {stated}Version="1.0.0.0" FileName="{name}" '
                f'Offset="{place}" Size="{len(part.data)}"/>'
            )
            offset = place + len(part.data) + (24 if self.zip64 else 0)
        manifest = (
            f'{_HEAD}<Bundle xmlns="http://schemas.microsoft.com/appx/2013/bundle" SchemaVersion="1.0">'
            f'<Identity Name="kspsign.test" Publisher="{escape(self.publisher)}" Version="1.0.0.0"/>'
            f"<Packages>{told}</Packages></Bundle>"
        )
        for old, new in self.bundle_manifest.items():
            assert old in manifest
            manifest = manifest.replace(old, new, 1)
        return self._pack([self._part("AppxMetadata/AppxBundleManifest.xml", manifest.encode())], inner)

    def _pack(self, mapped: list[Part], inner: Sequence[Part] = ()) -> bytes:
        block_map = self._block_map(mapped)
        for old, new in self.block_map.items():
            assert old in block_map
            block_map = block_map.replace(old, new, 1)
        parts = [*inner, *mapped, self._part("AppxBlockMap.xml", block_map.encode())]
        types = self._part("[Content_Types].xml", (self.types or content_types()).encode())
        parts.insert(len(inner) if self.order else len(parts), types)
        if self.code_integrity is not None:
            parts.append(self._part("AppxMetadata/CodeIntegrity.cat", self.code_integrity))
        replaced = {part.name: part for part in self.extra}
        names = {part.name for part in parts}
        parts = [replaced.get(part.name, part) for part in parts]
        return build_zip([*parts, *(part for part in self.extra if part.name not in names)], zip64=self.zip64)

    def _part(self, name: str, data: bytes) -> Part:
        return Part(name, data, deflate=not name.endswith(".png"), descriptor=self.zip64)

    def _block_map(self, parts: Sequence[Part]) -> str:
        files = ""
        for part in parts:
            blocks = ""
            for number, packed in enumerate(part.blocks):
                data = part.data[number * BLOCK : (number + 1) * BLOCK]
                digest = base64.b64encode(hashlib.new(self.algorithm, data).digest()).decode()
                size = f' Size="{len(packed)}"' if part.deflate else ""
                blocks += f'<Block Hash="{digest}"{size}/>'
            name = escape(unquote(part.name).replace("/", "\\"))
            files += f'<File Name="{name}" Size="{len(part.data)}" LfhSize="{part.header_size}">{blocks}</File>'
        namespace = "http://schemas.microsoft.com/appx/2010/blockmap"
        return f'{_HEAD}<BlockMap xmlns="{namespace}" HashMethod="{METHODS[self.algorithm]}">{files}</BlockMap>'


def content_types(prefix: str = "", more: str = "") -> str:
    """[Content_Types].xml for the files above; `prefix` names its namespace."""
    colon, declared = (f"{prefix}:", f":{prefix}") if prefix else ("", "")
    extensions = ("exe", "png", "txt", "bin", "dll", "msix", "appx", "xml", "cat")
    defaults = "".join(
        f'<{colon}Default Extension="{extension}" ContentType="application/octet-stream"/>' for extension in extensions
    )
    return f'{_HEAD}<{colon}Types xmlns{declared}="{TYPES_NAMESPACE}">{defaults}{more}</{colon}Types>'
