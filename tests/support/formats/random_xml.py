"""XML documents made at random, with all that canonicalisation has rules for."""

from __future__ import annotations

import random

_PREFIXES = ("", "", "a", "b", "long-prefix", "é")
_NAMESPACES = ("urn:one", "urn:two", "http://example.com/?a=1", "urn:three")
_NAMES = ("x", "y", "Manifest", "élan", "z.1")
_TEXTS = (
    "text", " ", "\n", "\r\n", "\r", "\t", "&lt;&gt;&amp;&quot;", "&#xD;", "&#10;", "&#9;", "&#x10FFFF;", "ü€😀",
    "<![CDATA[<a> & ]]>", "<![CDATA[]]>", "]]&gt;", "'\"", "\u00a0", "\u2028",
)  # fmt: skip
_ASIDES = ("<!-- a & <b> -->", "<!---->", "<?target?>", "<?target  data ?>", "<?x <é>\r\n?>")


def seeded(seed: int) -> random.Random:
    """A source that gives the same documents each time."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


class Maker:
    """Makes elements; `identifiers` are those that it gave."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self.identifiers: list[str] = []

    def document(self, depth: int) -> str:
        """A whole document."""
        source = self._source
        head = source.choice(("", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-8"?>\r\n'))
        before = "".join(source.choices((*_ASIDES, "\n", " "), k=source.randrange(4))) if head else ""
        after = "".join(source.choices((*_ASIDES, "\n", " "), k=source.randrange(4)))
        return head + before + self.element({}, depth) + after

    def element(self, scope: dict[str, str], depth: int) -> str:
        """An element where the prefixes of `scope` are declared."""
        source = self._source
        declared = {}
        for _ in range(source.randrange(4)):
            prefix = source.choice(_PREFIXES)
            declared[prefix] = source.choice(_NAMESPACES if prefix else (*_NAMESPACES, ""))
        visible = {**scope, **declared}
        bound = ["", *(prefix for prefix in visible if prefix)]
        prefix = source.choice(bound)
        name = f"{prefix}:{source.choice(_NAMES)}" if prefix else source.choice(_NAMES)
        attributes = [f"xmlns{':' if key else ''}{key}={self._quoted(uri)}" for key, uri in declared.items()]
        attributes += self._attributes(visible)
        source.shuffle(attributes)
        tag = name + "".join(source.choice((" ", "\n  ", "\t")) + item for item in attributes)
        if not depth or not source.randrange(6):
            return f"<{tag}{source.choice(('/>', ' />', f'></{name} >'))}"
        parts = [self._part(visible, depth) for _ in range(source.randrange(6))]
        return f"<{tag}>{''.join(parts)}</{name}>"

    def _part(self, scope: dict[str, str], depth: int) -> str:
        kind = self._source.randrange(4)
        if kind == 0:
            return self._source.choice(_ASIDES)
        return self._source.choice(_TEXTS) if kind == 1 else self.element(scope, depth - 1)

    def _attributes(self, scope: dict[str, str]) -> list[str]:
        source = self._source
        found: dict[tuple[str, str], str] = {}
        for _ in range(source.randrange(4)):
            prefix = source.choice(["", "xml", *(key for key in scope if key)])
            name = source.choice(("lang", "space", "base")) if prefix == "xml" else source.choice(_NAMES)
            value = self._quoted("default" if name == "space" else "".join(source.choices(self._values(), k=2)))
            uri = scope.get(prefix, "") if prefix else ""
            found[(prefix if prefix == "xml" else uri, name)] = f"{prefix}{':' if prefix else ''}{name}={value}"
        if not source.randrange(3):
            self.identifiers.append(f"id{len(self.identifiers)}")
            found[("", "Id")] = f'Id="{self.identifiers[-1]}"'
        return list(found.values())

    @staticmethod
    def _values() -> tuple[str, ...]:
        return ("a", "  ", "\n", "\t", "&#xD;", "&#xA;", "&#9;", "&amp;&lt;", ">", "é", "&quot;", "&apos;")

    def _quoted(self, value: str) -> str:
        quote = self._source.choice("\"'")
        return f"{quote}{value}{quote}"
