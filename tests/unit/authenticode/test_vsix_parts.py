"""The parts of a VSIX package: names, content types, relationships, and which of them a signature lets through."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.vsix.content_types import read_content_types
from kspsign.authenticode.vsix.names import names_fault, relationships_of, target_of
from kspsign.authenticode.vsix.package import VsixFile
from kspsign.authenticode.vsix.package_object import NAMESPACE, read_package_object, write_package_object
from kspsign.authenticode.vsix.profile import VSIX_PROFILE
from kspsign.authenticode.vsix.relationships import TRANSFORM, Relationship, read_relationships, transformed
from kspsign.authenticode.vsix.signature import VsixSignature
from kspsign.authenticode.xmldsig.write import Markup, in_signature
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.values import DigestAlgorithm, Format
from support.formats.vsix_samples import content_types, package, relationships
from support.formats.xml_keys import KEYS
from support.formats.zips import Part

_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_SHA256 = DigestAlgorithm.SHA256
_RELATED = relationships(
    '<Relationship Type="urn:b" Target="/b" Id="R2" />',
    '<Relationship Type="urn:a" Target="http://example.com/" TargetMode="External" Id="R1" />',
)


def test_names() -> None:
    assert relationships_of("") == "_rels/.rels"
    assert relationships_of("a/b.xml") == "a/_rels/b.xml.rels"
    assert target_of("a/b.xml", "c.xml") == "a/c.xml"
    assert target_of("a/b.xml", "/c.xml") == "c.xml"
    assert names_fault(["a.b", "a/b", "%5Bx%5D.json", "[Content_Types].xml"]) is None
    for names in (
        ["a/b", "A/b"],
        ["a", "a/b"],
        ["a b"],
        ["a/"],
        ["a//b"],
        ["a/./b"],
        ["a."],
        ["%41"],
        ["é"],
        ["a%2Fb"],
    ):
        assert names_fault(names) is not None, names
    for target in ("../../x y", "/", "b/c%2fd"):
        with pytest.raises(ValueError, match="lead to a part"):
            target_of("a", target)


def test_the_types_of_a_signature_are_written_as_the_others_are() -> None:
    for data in (
        content_types(),
        content_types(ending="/"),
        content_types().replace(b"><Def", b">\n <Def").replace(b"><Def", b">\n <Def"),
    ):
        types = read_content_types(data)
        added = types.with_signature()
        assert etree.fromstring(added.content) is not None
        assert (
            added.type_of("x/y.psdsxs") == "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml"
        )
        assert added.without_signature(["x.psdsxs", "x.psdor", "_rels/.rels"], ["a.dll"]).content == data
        assert added.without_signature(["x.psdsxs", "x.psdor"], ["a.rels"]).type_of("b.rels") is not None


def test_the_relationships_transform() -> None:
    """As ECMA-376 Part 2 §13.2.4.26 says it: sorted by Id, TargetMode filled in, canonical."""
    expected = (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        b'<Relationship Id="R1" Target="http://example.com/" TargetMode="External" Type="urn:a"></Relationship>'
        b'<Relationship Id="R2" Target="/b" TargetMode="Internal" Type="urn:b"></Relationship></Relationships>'
    )
    found = read_relationships("", _RELATED)
    assert transformed(found.members) == expected
    assert etree.tostring(etree.fromstring(expected), method="c14n") == expected
    assert [item.identifier for item in found.selected({"R2"}, ())] == ["R2"]
    assert [item.identifier for item in found.selected((), {"urn:a"})] == ["R1"]


def _signed(tmp_path: Path, rewrite: Callable[[bytes], bytes]) -> tuple[VsixFile, VsixSignature]:
    """A package whose signature has an Object that was rewritten; its value is not looked at."""
    path = tmp_path / "a.vsix"
    path.write_bytes(package())
    file = open_signable(path, Format.VSIX)
    digest = file.digest([_SHA256])
    content = write_package_object(digest.parts[_SHA256], _SHA256, datetime(2030, 1, 1, tzinfo=UTC)).encode()
    made = VSIX_PROFILE.prepare(SigningTerms(_SHA256, ()), rewrite(content))
    target = io.BytesIO()
    file.embed(digest, (made.assemble(bytes(256), [KEYS["rsa"].certificate], token=None),), target)
    path.write_bytes(target.getvalue())
    signed = VsixFile.open(Snapshot(path))
    return signed, VSIX_PROFILE.read(signed.signatures[0])


@pytest.mark.parametrize(
    ("selection", "holds"),
    [
        ('<RelationshipsGroupReference xmlns="{0}" SourceType="{1}"></RelationshipsGroupReference>', True),
        ('<RelationshipReference xmlns="{0}" SourceId="Rkspsign"></RelationshipReference>', True),
        ('<RelationshipReference xmlns="{0}" SourceId="other"></RelationshipReference>', False),
    ],
)
def test_a_signature_that_selects_relationships_holds_where_it_selects_all(
    tmp_path: Path, selection: str, *, holds: bool
) -> None:
    kind = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/origin"
    steps = f'<Transform Algorithm="{TRANSFORM}">{selection.format(NAMESPACE, kind)}</Transform>'

    def rewrite(content: bytes) -> bytes:
        start = content.index(b'<Reference URI="/_rels/.rels')
        end = content.index(b">", start) + 1
        transforms = f'<Transforms>{steps}<Transform Algorithm="{_C14N}"></Transform></Transforms>'
        member = Relationship("Rkspsign", kind, "/package/services/digital-signature/origin.psdor", False)
        digest = base64.b64encode(hashlib.sha256(transformed([member])).digest())
        rest = content[end:]
        value = rest.index(b"<DigestValue>") + 13
        return content[:end] + transforms.encode() + rest[:value] + digest + rest[rest.index(b"</DigestValue>") :]

    file, signature = _signed(tmp_path, rewrite)
    digest = file.digest_to_check((signature,))
    assert (digest.values[_SHA256] == signature.file_digest) is holds
    (parts, *_) = file.structure(digest, (signature,))
    assert (parts.check, parts.hresult is None) == ("package-parts", holds)
    assert signature.content_fault() is None
    assert signature.signer_fault() is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Manifest>", "<Manifest><Reference></Reference>"),
        ('URI="/manifest.json?', 'URI="/manifest.json#x?'),
        ('URI="/manifest.json?ContentType=', 'URI="/manifest.json?Type='),
        ('URI="/manifest.json?', 'URI="/Manifest.json?ContentType=a/b" Type="x'),
        ("idSignatureTime", "idTime"),
        ("2030-01-01T", "2030-13-01T"),
        ("+00:00</Value>", "</Value>"),
        ("<Format>Y", "<Format>y"),
        ("<SignatureProperties>", "<SignatureProperties><SignatureProperty></SignatureProperty>"),
        ("</Object>", "<x></x></Object>"),
        ("xmlenc#sha256", "xmlenc#sha512"),
    ],
)
def test_what_is_no_object_of_a_package_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "a.vsix"
    path.write_bytes(package())
    digest = open_signable(path, Format.VSIX).digest([_SHA256])
    content = write_package_object(digest.parts[_SHA256], _SHA256, datetime(2030, 1, 1, tzinfo=UTC))
    assert len(read_package_object(in_signature(content)).parts) == 8
    changed = Markup(content.replace(old, new, 1))
    assert changed != content
    with pytest.raises(TrustError):
        read_package_object(in_signature(changed))


def test_the_number_of_parts_is_bounded_before_a_signature_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.vsix"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", content_types())
        for number in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.json"), b"")
    with pytest.raises(ArtifactError, match="at most 20000"):
        open_signable(path, Format.VSIX).admit(SigningTerms(_SHA256, (KEYS["rsa"].certificate,)))


def test_a_key_that_visual_studio_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "a.vsix"
    path.write_bytes(package())
    file = open_signable(path, Format.VSIX)
    file.admit(SigningTerms(_SHA256, (KEYS["rsa"].certificate,)))
    with pytest.raises(ArtifactError, match="accepts RSA only"):
        file.admit(SigningTerms(_SHA256, (KEYS["p256"].certificate,)))


def test_parts_of_a_signature_without_a_relationship_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.vsix"
    kind = "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml"
    types = content_types(f'<Default Extension="psdsxs" ContentType="{kind}" />')
    path.write_bytes(package(Part("a.psdsxs", b"<x/>"), types=types))
    file = VsixFile.open(Snapshot(path))
    assert file.signatures == ()
    assert file.occupant == "a.psdsxs, to which no relationship leads"
    with pytest.raises(ArtifactError, match="parts of a signature"):
        file.admit(SigningTerms(_SHA256, (KEYS["rsa"].certificate,)))
