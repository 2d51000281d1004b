"""A manifest's Publisher beside a certificate's subject: part by part, as Windows writes names."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from kspsign.certificates.windows_name import difference, parse_publisher, windows_name

KINDS = {
    "C": NameOID.COUNTRY_NAME, "S": NameOID.STATE_OR_PROVINCE_NAME, "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "CN": NameOID.COMMON_NAME,
    "E": NameOID.EMAIL_ADDRESS, "BC": NameOID.BUSINESS_CATEGORY, "JC": NameOID.JURISDICTION_COUNTRY_NAME,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
}  # fmt: skip


def subject(*relative: str) -> x509.Name:
    """A name in a certificate's order; "+" joins attributes of one relative name."""
    return x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(KINDS[kind], value) for kind, value in (part.split("=", 1) for part in names.split("+"))
        )
        for names in relative
    )


@pytest.mark.parametrize(
    ("publisher", "relative"),
    [
        ("CN=Contoso", ["CN=Contoso"]),
        (
            "CN=Contoso, O=Contoso Ltd, L=Redmond, S=Washington, C=US",
            "C=US S=Washington L=Redmond O=Contoso_Ltd CN=Contoso",
        ),
        ("CN=a,O=b,ST=c,C=DE", "C=DE S=c O=b CN=a"),
        ("  cn = a ;  o = b  ", "O=b CN=a"),
        ('CN="Contoso, Inc."', ["CN=Contoso, Inc."]),
        ('CN="say ""hi"" + bye=#1"', ['CN=say "hi"']),
        ("CN=Grüße, O=東京", "O=東京 CN=Grüße"),
        ("CN=a + OU=b, O=c", "O=c CN=a+OU=b"),
        ("OU=b + CN=a, O=c", "O=c CN=a+OU=b"),
        ("CN=a, OU=1, OU=2", "OU=2 OU=1 CN=a"),
        ("OID.2.5.4.15=Private Organization, OID.1.3.6.1.4.1.311.60.2.1.3=US", ["JC=US", "BC=Private Organization"]),
        ("2.5.4.3=a", "CN=a"),
        ("CN=#0C0161", "CN=a"),
        ("CN=#1E0400610062", "CN=ab"),
        ("E=me@example.org, SERIALNUMBER=12 34", ["SERIALNUMBER=12 34", "E=me@example.org"]),
        (r"CN=back\slash", ["CN=back\\slash"]),
    ],
)
def test_the_same_name(publisher: str, relative: list[str] | str) -> None:
    names = [name.replace("_", " ") for name in relative.split()] if isinstance(relative, str) else relative
    held = subject(*names)
    if '""hi""' in publisher:
        held = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'say "hi" + bye=#1')])
    assert difference(publisher, held) is None
    assert parse_publisher(windows_name(held)) == parse_publisher(publisher)


@pytest.mark.parametrize(
    ("publisher", "relative", "words"),
    [
        ("CN=Contoso", "CN=contoso", 'subject is "CN=contoso"'),
        ("O=b, CN=a", "O=b CN=a", "another order"),
        ("CN=a", "O=b CN=a", '"CN=a, O=b"'),
        ("CN=a, O=b", "CN=a", '"CN=a"'),
        ("CN=a, OU=b", "CN=a+OU=b", '"CN=a + OU=b"'),
        ("CN=a, S=b", "CN=a L=b", "L=b, CN=a"),
        ("Contoso", "CN=Contoso", "not an attribute with a value"),
        ("CN=Contoso, Inc.", "CN=Contoso", '"Inc." is not an attribute'),
        ("CN=a,", "CN=a", "not an attribute"),
        ("XYZ=a", "CN=a", "XYZ is not an attribute"),
        ('CN="a', "CN=a", "not an attribute"),
        ("CN=#0C05", "CN=a", "not a DER string"),
        ("CN=#", "CN=a", "not an attribute"),
        ("", "CN=a", "not a distinguished name"),
    ],
)
def test_another_name(publisher: str, relative: str, words: str) -> None:
    found = difference(publisher, subject(*relative.split()))
    assert found is not None
    assert words in found


def test_a_subject_is_shown_as_the_manifest_must_have_it() -> None:
    held = subject("C=US", "O=Contoso, Inc.", 'CN=the "best"')
    assert windows_name(held) == 'CN="the ""best""", O="Contoso, Inc.", C=US'
    assert windows_name(subject("JC=US", "CN=a")) == "CN=a, OID.1.3.6.1.4.1.311.60.2.1.3=US"
