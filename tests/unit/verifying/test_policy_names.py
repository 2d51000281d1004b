"""Names and patterns of a policy: as people write them, and no looser."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from kspsign.verifying.policy.names import matches, parse_name, parts_of, thumbprint_digits

JURISDICTION = ObjectIdentifier("1.3.6.1.4.1.311.60.2.1.3")
SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "IE"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Leinster"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Contoso, "Ltd" + Sönne'),
        x509.NameAttribute(JURISDICTION, "IE"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Contoso Ltd"),
    ]
)


@pytest.mark.parametrize(
    "written",
    [
        "Contoso Ltd",
        "contoso  ltd",
        "CN=Contoso Ltd",
        "cn = Contoso Ltd , c=ie",
        "S=Leinster, ST=Leinster",
        "OID.1.3.6.1.4.1.311.60.2.1.3=IE; CN=Contoso Ltd",
        r"O=Contoso\, \"Ltd\" \+ S\C3\B6nne,C=IE",
        r'O="Contoso, \"Ltd\" + Sönne", C=IE',
        SUBJECT.rfc4514_string(),
    ],
)
def test_a_name_is_found_as_it_is_written(written: str) -> None:
    assert parse_name(written) <= parts_of(SUBJECT)


@pytest.mark.parametrize(
    "written", ["Contoso", "CN=Contoso Ltd.", "CN=Contoso Ltd, C=US", "O=Contoso Ltd", "CN=IE", "C=IE, L=Dublin", "CN="]
)
def test_another_name_is_another(written: str) -> None:
    assert not parse_name(written) <= parts_of(SUBJECT)


@pytest.mark.parametrize("written", ["", " ", "XX=A", 'CN="A', "=A", "CN=A,,O=B", "CN=A, B", "1.2.=A"])
def test_what_is_no_name_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="name"):
        parse_name(written)


@pytest.mark.parametrize("written", ["ab" * 20, "AB:" * 31 + "AB", "\u200e" + "ab " * 20])
def test_a_thumbprint_is_taken_as_people_write_it(written: str) -> None:
    assert thumbprint_digits(written) in {"AB" * 20, "AB" * 32}


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        ("a.exe", "a.exe", True),
        ("A.EXE", "a.exe", True),
        ("./a.exe", "a.exe", True),
        ("*.exe", "a.exe", True),
        ("*.exe", "x/a.exe", False),
        ("**/*.exe", "a.exe", True),
        ("**/*.exe", "x/y/a.exe", True),
        ("**/*.exe", "/abs/a.exe", True),
        ("**/*.exe", "C:/abs/a.exe", True),
        ("x/**", "x/y/a.exe", True),
        ("x/**", "y/x/a.exe", False),
        ("**", "x/a", True),
        ("{bin,obj/x64}/*.dll", "obj/x64/a.dll", True),
        ("{bin,obj/x64}/*.dll", "obj/a.dll", False),
        ("lib{1..3}.dll", "LIB2.DLL", True),
        ("x/@(a|b).exe", "x/b.exe", True),
        ("x/+(a|b).exe", "x/abba.exe", True),
        ("x/?(un)signed.exe", "x/signed.exe", True),
        ("./!(a|b).exe", "c.exe", True),
        ("./!(a|b).exe", "a.exe", False),
        ("a[^b].dll", "ab.dll", False),
        ("build [x64]/a.dll", "build [x64]/a.dll", True),
        ("[[]x.dll", "[x.dll", True),
        ("x/**/z/*.dll", "x/z/a.dll", True),
        ("x/**/z/*.dll", "x/1/2/z/a.dll", True),
        ("x/**/z/*.dll", "x/1/2/a.dll", False),
        ("a?.[ds]ll", "ab.dll", True),
        ("a[!b].dll", "ab.dll", False),
        ("a.exe", "axexe", False),
        ("[a].exe", "[a].exe", True),
        ("x*y", "x/y", False),
    ],
)
def test_a_pattern_names_files(glob: str, name: str, expected: bool) -> None:
    assert matches(glob, name) is expected
