"""Reads the elements of a signature one by one: what is not asked for is refused, by its name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection

from kspsign.authenticode.xmldsig.algorithms import DSIG
from kspsign.authenticode.xmldsig.document import Document, XmlNode, parse_document
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult


def malformed(what: str) -> TrustError:
    """The error for a signature that is not well-formed."""
    return TrustError(
        Hresult.TRUST_E_MALFORMED_SIGNATURE, f"the XML signature is malformed: {what}", check="cms-structure"
    )


def unknown_algorithm(uri: str | None) -> TrustError:
    """The error for an algorithm that is not of the closed list."""
    return TrustError(Hresult.NTE_BAD_ALGID, f"the algorithm {uri or '(none)'} is not supported", check="algorithms")


def read_document(data: bytes) -> Document:
    """The document in `data`; raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") otherwise."""
    try:
        return parse_document(data)
    except ValueError as broken:
        raise malformed(str(broken)) from broken


class XmlFields:
    """The elements in an element, in their order; raises TrustError for what is not as asked for.

    The element may have `attributes` and no others. It may have no text (but white space where it is `spaced`), comment
    or instruction.
    """

    def __init__(self, element: XmlNode, attributes: Collection[str] = (), *, spaced: bool = False) -> None:
        check_attributes(element, attributes)
        for child in element.children:
            is_space = spaced and isinstance(child, str) and not child.strip(" \t\r\n")
            if not isinstance(child, XmlNode) and not is_space:
                raise malformed(f"{element.name} has a text, comment or instruction")
        self._element, self._elements, self._next = element, element.elements, 0

    def take(self, name: str, namespace: str = DSIG) -> XmlNode:
        """The next element, which must have this name."""
        found = self.optional(name, namespace)
        if found is None:
            raise malformed(f"{self._element.name} has no {name} where it must have one")
        return found

    def optional(self, name: str, namespace: str = DSIG) -> XmlNode | None:
        """The next element if it has this name."""
        if self._next < len(self._elements) and self._elements[self._next].is_named(namespace, name):
            self._next += 1
            return self._elements[self._next - 1]
        return None

    def several(self, name: str, namespace: str = DSIG) -> tuple[XmlNode, ...]:
        """The next elements as long as they have this name."""
        found = []
        while (element := self.optional(name, namespace)) is not None:
            found.append(element)
        return tuple(found)

    def rest(self) -> tuple[XmlNode, ...]:
        """All that follow."""
        at, self._next = self._next, len(self._elements)
        return self._elements[at:]

    def end(self) -> None:
        """Nothing may follow."""
        if self._next < len(self._elements):
            raise malformed(f"{self._element.name} has a {self._elements[self._next].name} that is not expected")


def check_attributes(element: XmlNode, attributes: Collection[str] = ()) -> None:
    """Raise TrustError when the element has others than `attributes`."""
    for item in element.attributes:
        if item.namespace or item.name not in attributes:
            raise malformed(f"{element.name} has the attribute {item.name}")


def text_of(element: XmlNode, attributes: Collection[str] = ()) -> str:
    """The text that is all in the element; raises TrustError when there is something else."""
    check_attributes(element, attributes)
    if not all(isinstance(child, str) for child in element.children):
        raise malformed(f"{element.name} has something other than text")
    return element.text


def octets_of(element: XmlNode) -> bytes:
    """What the element's text has in base64, on one line and as base64 is written; raises TrustError otherwise."""
    text = text_of(element)
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as broken:
        raise malformed(f"{element.name} is not in base64") from broken
    if not octets or base64.b64encode(octets).decode() != text:
        raise malformed(f"{element.name} is empty, or in base64 that nothing writes so")
    return octets


def algorithm_of(element: XmlNode) -> str:
    """Its algorithm's identifier; raises TrustError when it has none."""
    check_attributes(element, ("Algorithm",))
    found = element.get("Algorithm")
    if not found:
        raise malformed(f"{element.name} names no algorithm")
    return found
