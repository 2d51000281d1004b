"""Compares a manifest's Publisher with a certificate's subject, both parsed into relative distinguished names.

The text is what Windows' CertNameToStr writes (CERT_X500_NAME_STR, reversed): the most specific name first,
attributes apart by commas, those of one relative name by plus signs, values in quotation marks where they need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509

from kspsign.certificates import der
from kspsign.model.errors import TrustError

RelativeName = frozenset[tuple[str, str]]
"""Attributes of one relative name: dotted OID and value."""

_OIDS = {
    "CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "S": "2.5.4.8",
    "STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "T": "2.5.4.12", "Description": "2.5.4.13",
    "PostalCode": "2.5.4.17", "POBox": "2.5.4.18", "Phone": "2.5.4.20", "X21Address": "2.5.4.24", "G": "2.5.4.42",
    "I": "2.5.4.43", "dnQualifier": "2.5.4.46", "E": "1.2.840.113549.1.9.1", "DC": "0.9.2342.19200300.100.1.25",
}  # fmt: skip
_ALIASES = {"ST": "S", "EMAIL": "E", "TITLE": "T", "GIVENNAME": "G", "INITIALS": "I"}
_BY_KEY = {key.upper(): oid for key, oid in _OIDS.items()}
_BY_KEY |= {alias: _OIDS[key] for alias, key in _ALIASES.items()}
_KEYS = {oid: key for key, oid in _OIDS.items()}
_ATTRIBUTE = re.compile(r'\s*([A-Za-z0-9.]+)\s*=\s*(?:"((?:[^"]|"")*)"|([^",;+=<>#]*|#[0-9A-Fa-f]+))\s*([,;+]|$)')
_NEEDS_QUOTES = re.compile(r'[,;+="<>#\n]|^\s|\s$')
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


def parse_publisher(text: str) -> tuple[RelativeName, ...]:
    """The relative names in a certificate's order, the least specific first. Raises ValueError."""
    names: list[RelativeName] = []
    current: set[tuple[str, str]] = set()
    at, separator = 0, ","
    while separator:
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            raise ValueError(
                f'"{text}" is not a distinguished name: "{text[at:].strip()}" is not an attribute with a value'
            )
        key, quoted, bare, separator = found.groups()
        current.add((_oid(key), _value(bare.strip()) if quoted is None else quoted.replace('""', '"')))
        if separator != "+":
            names.append(frozenset(current))
            current = set()
        at = found.end()
    return tuple(reversed(names))


def relative_names(name: x509.Name) -> tuple[RelativeName, ...]:
    """The relative names of a certificate's subject, in its order."""
    return tuple(
        frozenset((attribute.oid.dotted_string, _text(attribute.value)) for attribute in relative)
        for relative in name.rdns
    )


def windows_name(name: x509.Name) -> str:
    """The subject as a manifest must have it."""
    return ", ".join(" + ".join(_shown(relative)) for relative in reversed(tuple(name.rdns)))


def difference(publisher: str, subject: x509.Name) -> str | None:
    """How a manifest's Publisher differs from a certificate's subject; None when they name the same."""
    try:
        stated = parse_publisher(publisher)
    except ValueError as broken:
        return str(broken)
    held = relative_names(subject)
    if stated == held:
        return None
    both = f'the manifest\'s Publisher is "{publisher}", the certificate\'s subject is "{windows_name(subject)}"'
    return both + (
        ", the same names in another order" if sorted(map(sorted, stated)) == sorted(map(sorted, held)) else ""
    )


def _oid(key: str) -> str:
    upper = key.upper()
    dotted = _BY_KEY.get(upper, upper.removeprefix("OID."))
    if not re.fullmatch(r"\d+(\.\d+)+", dotted):
        raise ValueError(f"{key} is not an attribute of a name that Windows knows")
    return dotted


def _value(text: str) -> str:
    """A bare value; "#" and the hex of a DER string denote that string."""
    if not text.startswith("#"):
        return text
    try:
        data = bytes.fromhex(text[1:])
        return der.parse(data, data[0]).content.decode(_STRINGS[data[0]])
    except (ValueError, LookupError, TrustError) as broken:
        raise ValueError(f"{text} is not a DER string") from broken


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else f"#{value.hex()}"


def _shown(relative: x509.RelativeDistinguishedName) -> Iterator[str]:
    for attribute in relative:
        oid, value = attribute.oid.dotted_string, _text(attribute.value)
        if _NEEDS_QUOTES.search(value):
            value = '"' + value.replace('"', '""') + '"'
        yield f"{_KEYS.get(oid, f'OID.{oid}')}={value}"
