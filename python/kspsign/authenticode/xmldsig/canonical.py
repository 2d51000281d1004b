"""Canonical XML 1.0 (W3C Recommendation of 15 March 2001) and Exclusive XML Canonicalization 1.0 (18 July 2002).

What is canonicalised is a document, or an element with all that is in it, but for one element that is left out (the
signature, where that is enveloped). Other node sets are not needed: they take XPath, which no transform here has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from kspsign.authenticode.xmldsig.document import XML_NAMESPACE, Attribute, Comment, Document, Instruction, XmlNode


class Canonicalization(StrEnum):
    """The algorithms, each by its identifier."""

    INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
    INCLUSIVE_WITH_COMMENTS = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"
    EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
    EXCLUSIVE_WITH_COMMENTS = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"

    @property
    def is_exclusive(self) -> bool:
        """Whether only the namespaces that an element uses go with it."""
        return self in {Canonicalization.EXCLUSIVE, Canonicalization.EXCLUSIVE_WITH_COMMENTS}

    @property
    def with_comments(self) -> bool:
        """Whether comments stay."""
        return self in {Canonicalization.INCLUSIVE_WITH_COMMENTS, Canonicalization.EXCLUSIVE_WITH_COMMENTS}


_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_VALUE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)  # fmt: skip


def canonicalize(apex: Document | XmlNode, method: Canonicalization, *, omit: XmlNode | None = None) -> bytes:
    """The canonical form of `apex` without the element `omit`, in UTF-8."""
    parts: list[str] = []
    writer = _Writer(method, omit, parts.append)
    if isinstance(apex, Document):
        writer.document(apex)
    else:
        writer.element(apex, {}, is_apex=True)
    return "".join(parts).encode()


def escape_text(text: str) -> str:
    """Text as it is in a canonical document (§1.1)."""
    return text.translate(_TEXT)


def escape_value(value: str) -> str:
    """An attribute's value as it is in a canonical document (§1.1)."""
    return value.translate(_VALUE)


class _Writer:
    """Writes one canonical form (§2.3; exclusive: §3)."""

    def __init__(self, method: Canonicalization, omit: XmlNode | None, write: Callable[[str], None]) -> None:
        self._method, self._omit, self._write = method, omit, write

    def document(self, document: Document) -> None:
        """The root, with instructions and comments around it on lines of their own."""
        for node in document.before:
            self._aside(node, after="\n")
        self.element(document.root, {}, is_apex=True)
        for node in document.after:
            self._aside(node, before="\n")

    def element(self, element: XmlNode, rendered: Mapping[str, str], *, is_apex: bool = False) -> None:
        """The element and what is in it; `rendered` are the namespaces that those around it declare in the output."""
        if element is self._omit:
            return
        name = f"{element.prefix}:{element.name}" if element.prefix else element.name
        declared = self._declarations(element, rendered)
        self._write(f"<{name}")
        for prefix, namespace in sorted(declared.items()):
            self._write(f' xmlns{":" if prefix else ""}{prefix}="{escape_value(namespace)}"')
        for item in sorted(self._attributes(element, is_apex=is_apex), key=lambda item: (item.namespace, item.name)):
            self._write(f' {item.prefix}{":" if item.prefix else ""}{item.name}="{escape_value(item.value)}"')
        self._write(">")
        visible = {**rendered, **declared} if declared else rendered
        for child in element.children:
            if isinstance(child, XmlNode):
                self.element(child, visible)
            elif isinstance(child, str):
                self._write(escape_text(child))
            else:
                self._aside(child)
        self._write(f"</{name}>")

    def _declarations(self, element: XmlNode, rendered: Mapping[str, str]) -> dict[str, str]:
        """The namespaces that the element declares in the output: of those that count, what differs from `rendered`."""
        if self._method.is_exclusive:
            used = {element.prefix, *(item.prefix for item in element.attributes if item.prefix)}
            counting = {prefix: element.scope.get(prefix, "") for prefix in used}
        else:
            counting = {**element.scope}
        counting.pop("xml", None)
        return {prefix: uri for prefix, uri in counting.items() if rendered.get(prefix, "") != uri}

    def _attributes(self, element: XmlNode, *, is_apex: bool) -> Iterator[Attribute]:
        """Its own; inclusive canonicalisation gives the apex those of the xml namespace around it as well (§2.4)."""
        yield from element.attributes
        if is_apex and not self._method.is_exclusive:
            own = {item.name for item in element.attributes if item.namespace == XML_NAMESPACE}
            for name, value in element.inherited.items():
                if name not in own:
                    yield Attribute("xml", XML_NAMESPACE, name, value)

    def _aside(self, node: Comment | Instruction, before: str = "", after: str = "") -> None:
        if isinstance(node, Instruction):
            self._write(f"{before}<?{node.target}{' ' if node.data else ''}{node.data}?>{after}")
        elif self._method.with_comments:
            self._write(f"{before}<!--{node.text}-->{after}")
