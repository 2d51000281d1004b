"""Changes a manifest's bytes where signing changes it, and nowhere else."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from kspsign.authenticode.clickonce.identity import PublisherName
from kspsign.authenticode.clickonce.manifest import ClickOnceManifest
from kspsign.authenticode.clickonce.names import ASM_V2, TOKEN
from kspsign.authenticode.clickonce.profile import publisher_markup
from kspsign.authenticode.clickonce.spans import with_edits
from kspsign.authenticode.references import SizedDigest
from kspsign.authenticode.xmldsig.document import XmlNode

Edit = tuple[int, int, bytes]
_ATTRIBUTE = re.compile(rb"""\s([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")


def unsigned_bytes(manifest: ClickOnceManifest) -> bytes:
    """The manifest without its signature; it goes on to name its publisher, which a signature covers."""
    return with_edits(manifest.located.data, _removal(manifest, manifest.signature))


def with_signature(manifest: ClickOnceManifest, signature: bytes) -> bytes:
    """The manifest with `signature` in place of its own, and all else as it is."""
    located = manifest.located
    end = located.spans[located.root].closing
    return with_edits(located.data, [*_removal(manifest, manifest.signature), (end, end, signature)])


def signed_bytes(manifest: ClickOnceManifest, publisher: PublisherName, token: str, signature: bytes = b"") -> bytes:
    """The manifest with the publisher's name and the key's token in place of those that it has, and `signature` in
    place of its own."""
    located = manifest.located
    edits = [*_removal(manifest, manifest.signature), *_attribute(manifest, manifest.identity, TOKEN, token)]
    added = signature
    if manifest.publisher_name != publisher:
        edits += _removal(manifest, manifest.publisher)
        added = publisher_markup(publisher).encode() + signature
    end = located.spans[located.root].closing
    return with_edits(located.data, [*edits, (end, end, added)])


def restated_bytes(manifest: ClickOnceManifest, states: Mapping[str, SizedDigest], tokens: Mapping[str, str]) -> bytes:
    """The manifest with `states` in place of what it says of the files with these names, and `tokens` as the keys of
    the manifests among them."""
    located, edits = manifest.located, list[Edit]()
    for entry in manifest.entries:
        state = states.get(entry.name)
        if state is None:
            continue
        value = located.spans[entry.digest_value]
        edits += _attribute(manifest, entry.element, "size", str(state.size))
        edits.append((value.opened, value.closing, base64.b64encode(state.digest)))
        if entry.identity is not None and entry.name in tokens:
            edits += _attribute(manifest, entry.identity, TOKEN, tokens[entry.name])
    return with_edits(located.data, edits)


def _removal(manifest: ClickOnceManifest, element: XmlNode | None) -> list[Edit]:
    if element is None:
        return []
    span = manifest.located.spans[element]
    return [(span.begin, span.end, b"")]


def _attribute(manifest: ClickOnceManifest, element: XmlNode, name: str, value: str) -> list[Edit]:
    """The edit that gives an attribute, which is there, another value of plain characters."""
    located = manifest.located
    begin, tag = located.spans[element].begin, located.start_tag(element)
    names = {name, *(f"{prefix}:{name}" for prefix, uri in element.scope.items() if prefix and uri == ASM_V2)}
    found = next((match for match in _ATTRIBUTE.finditer(tag) if match[1].decode() in names), None)
    if found is None or found[2][1:-1] == value.encode():
        return []
    return [(begin + found.start(2) + 1, begin + found.end(2) - 1, value.encode())]
