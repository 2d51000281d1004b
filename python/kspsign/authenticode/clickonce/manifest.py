"""A manifest's own parts: which of the two kinds it is, its identity, its publisher, its signature."""

from __future__ import annotations

from typing import NamedTuple

from kspsign.authenticode.clickonce.identity import PublisherName
from kspsign.authenticode.clickonce.license import identity_of
from kspsign.authenticode.clickonce.names import ASM_V1, ASM_V2, TOKEN
from kspsign.authenticode.clickonce.references import Entry, read_entries
from kspsign.authenticode.clickonce.signature import read_publisher
from kspsign.authenticode.clickonce.spans import LocatedDocument, locate
from kspsign.authenticode.xmldsig.algorithms import DSIG
from kspsign.authenticode.xmldsig.canonical import Canonicalization, canonicalize
from kspsign.authenticode.xmldsig.document import Comment, Document, XmlNode, parse_document
from kspsign.model.errors import TrustError

MAX_MANIFEST = 8 << 20
"""Bytes of a manifest: real ones with thousands of files have some hundred thousand."""


class ClickOnceManifest(NamedTuple):
    """A manifest whose structure was read. `publisher` (the element) and `publisher_name` are None when it names none,
    `signature` when it is unsigned; the signature is the last element."""

    located: LocatedDocument
    is_deployment: bool
    identity: XmlNode
    publisher: XmlNode | None
    publisher_name: PublisherName | None
    signature: XmlNode | None
    entries: tuple[Entry, ...]

    @property
    def canonical(self) -> bytes:
        """What both signatures are over: the manifest without its signature, canonicalised."""
        return canonicalize(self.located.document, Canonicalization.EXCLUSIVE, omit=self.signature)

    @property
    def token(self) -> str | None:
        """The token of the key, as the identity states it."""
        return self.identity.get(TOKEN)


def read_manifest(data: bytes | None) -> ClickOnceManifest:
    """The manifest in `data`, None where that is more than MAX_MANIFEST bytes. Raises ValueError when it is not one, or
    has parts whose meaning is not clear."""
    if data is None:
        raise ValueError(f"it has more than {MAX_MANIFEST >> 20} MiB")
    located = locate(data)
    root = located.root
    if not root.is_named(ASM_V1, "assembly"):
        raise ValueError(f"its root is {root.name}, not an assembly ({ASM_V1})")
    _check_asides(located.document)
    identity = _only(root, ASM_V1, "assemblyIdentity")
    if identity is None:
        raise ValueError("it has no assemblyIdentity of its own")
    signature, publisher = _only(root, DSIG, "Signature"), _only(root, ASM_V2, "publisherIdentity")
    if signature is not None and root.elements[-1] is not signature:
        raise ValueError("an element follows its signature")
    try:
        named = None if publisher is None else read_publisher(publisher)
    except TrustError as broken:
        raise ValueError(broken.message) from broken
    manifest = ClickOnceManifest(
        located, _is_deployment(root), identity, publisher, named, signature, read_entries(root)
    )
    if manifest.is_deployment:
        for entry in manifest.entries:
            if entry.identity is not None:
                identity_of(entry.identity)
    return manifest


def _check_asides(document: Document) -> None:
    """Raise ValueError for instructions and comments where a manifest may have none. No signature covers comments, and
    readers differ in whether a text goes on after one."""
    if any(not isinstance(node, Comment) for node in (*document.before, *document.after)):
        raise ValueError("it has processing instructions")
    if document.after:
        raise ValueError("a comment follows its root: no signature covers it")
    for element in document.root.iterate():
        if element.text.strip() and any(isinstance(child, Comment) for child in element.children):
            raise ValueError(f"a comment is in the text of a {element.name}")


def kind_of(data: bytes) -> bool:
    """Whether it is a deployment manifest; else it is an application manifest. Raises ValueError when it is neither or
    both, or not XML at all; the rest of it is not judged."""
    return _is_deployment(parse_document(data).root)


def _is_deployment(root: XmlNode) -> bool:
    deploys = any(child.is_named(ASM_V2, "deployment") for child in root.elements)
    starts = any(child.is_named(ASM_V2, "entryPoint") for child in root.elements)
    if deploys == starts:
        raise ValueError(
            "it has both an entry point and a deployment" if deploys else "it has neither entry point nor deployment"
        )
    return deploys


def _only(root: XmlNode, namespace: str, name: str) -> XmlNode | None:
    """The one child of that name, None when there is none. Raises ValueError for several, and for one elsewhere: a
    reader may find that one."""
    found = [child for child in root.elements if child.is_named(namespace, name)]
    if len(found) > 1:
        raise ValueError(f"it has a second {name}")
    own = found[0] if found else None
    elsewhere = name != "assemblyIdentity" and any(
        element.is_named(namespace, name) for child in root.elements if child is not own for element in child.iterate()
    )
    if elsewhere:
        raise ValueError(f"it has a second {name}" if found else f"its {name} is not where it belongs")
    return own
