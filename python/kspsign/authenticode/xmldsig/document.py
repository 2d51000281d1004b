"""An XML document as a tree that knows what canonicalisation needs: prefixes, declarations, comments, instructions.

Parsed with the bounds of `appx.xml`: no document type, and so no entities; bounded depth, names and pieces. The size of
the document and the number of its nodes are bounded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kspsign.authenticode.appx.xml import BoundedParser

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
MAX_SIZE, MAX_NODES = 16 << 20, 400_000
"""Bytes of a document, and its elements, attributes, texts, comments and instructions: each is kept in memory."""
MAX_PREFIXES = 100
"""Namespace declarations that apply to one element: each element that declares one keeps all of them."""
_ENCODINGS = frozenset({None, "utf-8", "utf-16"})
_IDENTIFIERS = frozenset({"id", f"{XML_NAMESPACE} id"})


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute; `prefix` and `namespace` are empty when it has none."""

    prefix: str
    namespace: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, eq=False)
class XmlNode:
    """An element; two are the same only if they are one.

    `prefix` and `namespace` are empty when it has none. `declared` are its own namespace declarations, prefix to
    namespace ("" the default one, whose namespace is empty where it is undone), `scope` all that apply. `inherited` are
    the attributes of the xml namespace that it has from the elements around it (xml:lang and the like) by local name.
    """

    prefix: str
    namespace: str
    name: str
    attributes: tuple[Attribute, ...]
    declared: Mapping[str, str]
    scope: Mapping[str, str]
    inherited: Mapping[str, str]
    children: tuple[Node, ...]

    @property
    def elements(self) -> tuple[XmlNode, ...]:
        """The elements directly in it."""
        return tuple(child for child in self.children if isinstance(child, XmlNode))

    @property
    def text(self) -> str:
        """The text directly in it."""
        return "".join(child for child in self.children if isinstance(child, str))

    def get(self, name: str, namespace: str = "") -> str | None:
        """The value of an attribute, None when it has none of that name."""
        found = (item.value for item in self.attributes if (item.namespace, item.name) == (namespace, name))
        return next(found, None)

    def is_named(self, namespace: str, name: str) -> bool:
        """Whether that is its expanded name."""
        return (self.namespace, self.name) == (namespace, name)

    def iterate(self) -> Iterator[XmlNode]:
        """It and every element in it, in document order."""
        pending = [self]
        while pending:
            element = pending.pop()
            yield element
            pending += reversed(element.elements)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment."""

    text: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """A processing instruction."""

    target: str
    data: str


Node: TypeAlias = XmlNode | Comment | Instruction | str


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its root, and the comments and instructions before and after that. `identified` are the elements by
    their identifier (an attribute Id, in whatever case, or xml:id): no two have the same."""

    root: XmlNode
    before: tuple[Comment | Instruction, ...]
    after: tuple[Comment | Instruction, ...]
    identified: Mapping[str, XmlNode]


def parse_document(data: bytes) -> Document:
    """The document in `data` (XML 1.0 with namespaces, UTF-8 or UTF-16).

    Raises ValueError when it is not well-formed, has a document type, exceeds a bound, or uses an identifier twice.
    """
    if len(data) > MAX_SIZE:
        raise ValueError(f"it has {len(data)} bytes, more than the {MAX_SIZE} that are read")
    builder = _Builder()
    builder.parser.feed(data)
    root = builder.root
    if root is None:
        raise ValueError("it has no root element")
    return Document(root, tuple(builder.before), tuple(builder.after), _identified(root))


def _identified(root: XmlNode) -> dict[str, XmlNode]:
    found: dict[str, XmlNode] = {}
    for element in root.iterate():
        for item in element.attributes:
            name = f"{item.namespace} {item.name}" if item.namespace else item.name.lower()
            if name not in _IDENTIFIERS:
                continue
            if item.value in found:
                raise ValueError(f'the identifier "{item.value}" occurs twice in it')
            found[item.value] = element
    return found


@dataclass(slots=True)
class _Open:
    """An element whose end has not come yet."""

    name: tuple[str, str, str]
    attributes: tuple[Attribute, ...] = ()
    declared: Mapping[str, str] = field(default_factory=dict)
    scope: Mapping[str, str] = field(default_factory=dict)
    inherited: Mapping[str, str] = field(default_factory=dict)
    passed_on: Mapping[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Builds the tree of what expat reports."""

    def __init__(self) -> None:
        self.root: XmlNode | None = None
        self.before: list[Comment | Instruction] = []
        self.after: list[Comment | Instruction] = []
        self.parser = BoundedParser(self._opened, self._declared, self._closed)
        self._stack: list[_Open] = []
        self._declarations: dict[str, str] = {}
        self._nodes = 0
        expat = self.parser.expat
        expat.namespace_prefixes = True
        expat.buffer_text = True
        expat.CharacterDataHandler = self._text
        expat.CommentHandler = lambda text: self._aside(Comment(text))
        expat.ProcessingInstructionHandler = lambda target, data: self._aside(Instruction(target, data))
        expat.XmlDeclHandler = self._declaration

    @staticmethod
    def _declaration(version: str, encoding: str | None, _standalone: int) -> None:
        if version != "1.0" or (encoding and encoding.lower()) not in _ENCODINGS:
            raise ValueError(f"it is XML {version} in {encoding}: XML 1.0 in UTF-8 or UTF-16 is read")

    def _declared(self, prefix: str | None, namespace: str | None) -> None:
        self._declarations[prefix or ""] = namespace or ""

    def _opened(self, name: str, attributes: dict[str, str]) -> None:
        self._count(1 + len(attributes))
        outer = self._stack[-1] if self._stack else _Open(("", "", ""))
        declared, self._declarations = self._declarations, {}
        scope = {**outer.scope, **declared} if declared else outer.scope
        if len(scope) > MAX_PREFIXES:
            raise ValueError(f"more than {MAX_PREFIXES} namespaces are declared for one element")
        items = tuple(Attribute(*_split(key), value) for key, value in attributes.items())
        own = {item.name: item.value for item in items if item.namespace == XML_NAMESPACE}
        passed_on = {**outer.passed_on, **own} if own else outer.passed_on
        self._stack.append(_Open(_split(name), items, declared, scope, outer.passed_on, passed_on))

    def _closed(self) -> None:
        closed = self._stack.pop()
        element = XmlNode(
            *closed.name, closed.attributes, closed.declared, closed.scope, closed.inherited, tuple(closed.children)
        )
        if self._stack:
            self._stack[-1].children.append(element)
        else:
            self.root = element

    def _text(self, text: str) -> None:
        self._count(1)
        self._stack[-1].children.append(text)

    def _aside(self, node: Comment | Instruction) -> None:
        self._count(1)
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            (self.before if self.root is None else self.after).append(node)

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES} nodes")


def _split(name: str) -> tuple[str, str, str]:
    """Prefix, namespace and local name of a name as expat has it: "namespace name prefix", the first and last of which
    may be missing. No namespace has a space: expat refuses it."""
    parts = name.split(" ")
    if len(parts) == 3:
        return parts[2], parts[0], parts[1]
    return ("", parts[0], parts[1]) if len(parts) == 2 else ("", "", name)
