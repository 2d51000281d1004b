"""Names and patterns in a policy: distinguished names, thumbprints, file patterns."""

from __future__ import annotations

import re
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from kspsign.model.globs import matches_path

Part = tuple[str, str]
"""One attribute of a name: its type as a dotted OID, and its value in comparable form."""

_TYPES = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
    "C": NameOID.COUNTRY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "POSTALCODE": NameOID.POSTAL_CODE,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "T": NameOID.TITLE,
    "GN": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "E": NameOID.EMAIL_ADDRESS,
    "EMAILADDRESS": NameOID.EMAIL_ADDRESS,
    "GIVENNAME": NameOID.GIVEN_NAME,
    "TITLE": NameOID.TITLE,
    "BUSINESSCATEGORY": NameOID.BUSINESS_CATEGORY,
    "ORGANIZATIONIDENTIFIER": NameOID.ORGANIZATION_IDENTIFIER,
    "JURISDICTIONC": NameOID.JURISDICTION_COUNTRY_NAME,
    "JURISDICTIONST": NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
    "JURISDICTIONL": NameOID.JURISDICTION_LOCALITY_NAME,
}
_ATTRIBUTE = re.compile(
    r'\s*(?:OID\.)?(?P<type>[A-Za-z]+|\d+(?:\.\d+)+)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|(?:[^,+;"\\]|\\.)*)\s*(?:[,+;]|$)'
)
_ESCAPED = re.compile(r"(\\[0-9A-Fa-f]{2}|\\.)")
_HEX_DIGITS = frozenset("0123456789ABCDEF")


@lru_cache(maxsize=256)
def parse_name(text: str) -> frozenset[Part]:
    """The attributes in a distinguished name as reports (RFC 4514), openssl and Windows write it.

    Without `=` it is a common name. Raises ValueError that says what is wrong.
    """
    if "=" not in text:
        if not text.strip():
            raise ValueError("the name is empty")
        return frozenset({(NameOID.COMMON_NAME.dotted_string, _comparable(text))})
    parts, at = set(), 0
    while at < len(text):
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            raise ValueError(
                f'{text!r} is not a distinguished name from {text[at:]!r} on: write CN=Contoso Ltd, O="Contoso, Ltd"'
            )
        parts.add((_type(found["type"]), _comparable(_unescaped(found["value"].strip()))))
        at = found.end()
    return frozenset(parts)


@lru_cache(maxsize=256)
def parts_of(name: x509.Name) -> frozenset[Part]:
    """The attributes of a certificate's name."""
    return frozenset((part.oid.dotted_string, _comparable(str(part.value))) for rdn in name.rdns for part in rdn)


def thumbprint_digits(text: str) -> str | None:
    """The 40 or 64 hex digits that `text` is, in upper case, whatever Windows or openssl put between; else None."""
    bare = "".join(char for char in text if char.isprintable() and char not in ": ").upper()
    return bare if len(bare) in {40, 64} and set(bare) <= _HEX_DIGITS else None


def matches(glob: str, name: str) -> bool:
    """Whether a file's name, as the report shows it, is named by the pattern, in the dialect of `files`.

    Case is ignored on every system, so that a policy says the same on all of them.
    """
    return matches_path(glob.casefold().removeprefix("./"), name.casefold())


def _type(name: str) -> str:
    if name[0].isdigit():
        return name
    known = _TYPES.get(name.upper())
    if known is None:
        raise ValueError(
            f"{name} is not an attribute of a name that is known here: {', '.join(_TYPES)}, or a dotted OID"
        )
    return known.dotted_string


def _unescaped(written: str) -> str:
    """A value without its quotation marks and backslashes (RFC 4514 §2.4, and RFC 2253's quotes)."""
    value = written[1:-1] if written.startswith('"') else written
    return b"".join(map(_octets, _ESCAPED.split(value))).decode("utf-8", "replace")


def _octets(piece: str) -> bytes:
    if not piece.startswith("\\"):
        return piece.encode()
    return bytes.fromhex(piece[1:]) if len(piece) == 3 else piece[1:].encode()


def _comparable(value: str) -> str:
    """Case and runs of white space don't count (RFC 5280 §7.1)."""
    return " ".join(value.casefold().split())
