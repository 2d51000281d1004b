"""How certificates are named to people."""

from __future__ import annotations

from cryptography import x509

from kspsign.authenticode.certificates import certificate as parse


def common_name(name: x509.Name) -> str:
    """The common name, else the organisation, else the whole name (RFC 4514)."""
    for kind in (
        x509.NameOID.COMMON_NAME,
        x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
        x509.NameOID.ORGANIZATION_NAME,
    ):
        values = name.get_attributes_for_oid(kind)
        if values:
            return str(values[0].value)
    return name.rfc4514_string()


def common_name_of(der: bytes | None) -> str:
    """The common name of a certificate's subject; "unknown" when there is no certificate."""
    return "unknown" if der is None else common_name(parse(der).subject)


def subject_of(der: bytes | None) -> str:
    """A certificate's subject (RFC 4514); "unknown" when there is no certificate."""
    return "unknown" if der is None else parse(der).subject.rfc4514_string()
