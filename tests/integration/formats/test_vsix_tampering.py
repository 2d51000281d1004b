"""Changed VSIX packages: whatever is flipped, inserted, added, taken away, reordered or swapped is refused."""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from kspsign.model.values import Format
from kspsign.settings.model import Settings
from kspsign.verifying import Verifier, open_verifier
from support.formats.vsix_samples import PARTS, content_types, package, relationships, seeded
from support.formats.zips import Part, build_zip
from support.signing import Publisher

SIGNATURE = "package/services/digital-signature/xml-signature/signature.psdsxs"
ORIGINS = "package/services/digital-signature/_rels/origin.psdor.rels"
TYPES, RELS = "[Content_Types].xml", "_rels/.rels"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"


class Signed(NamedTuple):
    """Two packages signed by one publisher, their parts, and who judges."""

    data: bytes
    parts: dict[str, bytes]
    other: dict[str, bytes]
    path: Path
    verifier: Verifier

    def refusal(self, data: bytes) -> str | None:
        """The check that `data` does not pass first, None when it verifies."""
        self.path.write_bytes(data)
        verification = self.verifier.verify(self.path, Format.VSIX)
        return next((check.name for check in verification.verdict.checks if not check.ok), None)

    def repacked(self, changes: dict[str, bytes | None], order: Callable[[list[str]], None] | None = None) -> bytes:
        """The package with other, further or (None) without parts."""
        parts = {name: content for name, content in {**self.parts, **changes}.items() if content is not None}
        names = list(parts)
        if order is not None:
            order(names)
        return build_zip([Part(name, parts[name], deflate=True) for name in names])


@pytest.fixture(scope="module")
def signed(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("vsix")
    found = []
    for name, data in (("a.vsix", package()), ("b.vsix", package(Part("further.json", b"{}")))):
        (folder / name).write_bytes(data)
        assert publisher.sign(folder / name).code == 0
        with zipfile.ZipFile(folder / name) as archive:
            found.append({entry: archive.read(entry) for entry in archive.namelist()})
    verifier = open_verifier(Settings(trust_root=(publisher.roots,)), None)
    return Signed((folder / "a.vsix").read_bytes(), found[0], found[1], folder / "changed.vsix", verifier)


def test_packed_again_it_is_the_same(signed: Signed) -> None:
    """What the changes below start from, and two that nothing signs: the order of entries, and an unused type."""
    assert signed.refusal(signed.data) is None
    assert signed.refusal(signed.repacked({})) is None
    assert signed.refusal(signed.repacked({}, order=list.reverse)) is None
    unused = b'<Default Extension="txt" ContentType="text/plain" /></Types>'
    assert signed.refusal(signed.repacked({TYPES: signed.parts[TYPES].replace(b"</Types>", unused)})) is None


def test_flips(signed: Signed) -> None:
    """A bit at each of 200 places chosen at random, and of each part's first and last byte."""
    source = seeded("flips")
    survived = []
    for at in sorted(source.sample(range(len(signed.data)), 200)):
        for bit in source.sample(range(8), 1):
            changed = bytearray(signed.data)
            changed[at] ^= 1 << bit
            if signed.refusal(bytes(changed)) is None:
                survived.append((at, bit))
    assert not survived
    for name, content in signed.parts.items():
        for at in {0, len(content) - 1} if content else ():
            twin = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            assert signed.refusal(signed.repacked({name: twin})) is not None, name


def test_insertions(signed: Signed) -> None:
    """Into the file, and into each part that has XML: bytes, spaces, comments, empty elements, declarations."""
    source = seeded("insertions")
    for at in sorted(source.sample(range(len(signed.data) + 1), 30)):
        for piece in (b"\0", b" ", b"PK\5\6"):
            assert signed.refusal(signed.data[:at] + piece + signed.data[at:]) is not None, at
    pieces = (b" ", b"\n", b"<!-- -->", b"<?x?>", b"<x/>", b' xmlns:x="y"', b' Id="x"', b"&#32;", b"<![CDATA[]]>", b"A")
    for name in (SIGNATURE, TYPES, RELS, ORIGINS):
        content = signed.parts[name]
        places = [match.start() for match in re.finditer(rb"[<>]| (?=[A-Za-z]+=)|(?<=[>\"])", content)]
        for at in sorted(source.sample(places, min(len(places), 10))):
            for piece in pieces:
                changed = content[:at] + piece + content[at:]
                assert signed.refusal(signed.repacked({name: changed})) is not None, (name, content[:at][-40:], piece)


def _edits() -> Iterator[tuple[str, str, str]]:
    """Changes of the signature's text: a name, what is replaced and by what."""
    info, reference = "</SignedInfo>", f'<Reference URI="#idPackageObject" Type="{DSIG}Object">'
    yield "a transform added", "</Transforms>", f'<Transform Algorithm="{C14N}"></Transform></Transforms>'
    for uri in (f"{DSIG}enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116",
                "http://www.w3.org/TR/1999/REC-xpath-19991116", f"{DSIG}base64", f"{C14N}#WithComments",
                "http://www.w3.org/2001/10/xml-exc-c14n#"):  # fmt: skip
        yield f"the transform {uri}", f'<Transform Algorithm="{C14N}">', f'<Transform Algorithm="{uri}">'
    for uri in ("http://www.w3.org/2001/10/xml-exc-c14n#", f"{C14N}#WithComments"):
        yield (
            f"the canonical form {uri}",
            f'<CanonicalizationMethod Algorithm="{C14N}">',
            f'<CanonicalizationMethod Algorithm="{uri}">',
        )
    for uri in ("", "#idSignatureTime", "#xpointer(/)", "http://example.com/", "#idSignatureTimestamp"):
        yield f"the reference {uri}", 'URI="#idPackageObject"', f'URI="{uri}"'
    yield (
        "a further reference",
        info,
        f'{reference}<DigestMethod Algorithm="{DSIG}sha1"></DigestMethod></Reference>{info}',
    )
    yield "hmac", "xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256"
    yield "ecdsa", "xmldsig-more#rsa-sha256", "xmldsig-more#ecdsa-sha256"
    yield "sha1", "http://www.w3.org/2001/04/xmlenc#sha256", f"{DSIG}sha1"
    yield "an entity", "<Signature xmlns", '<!DOCTYPE Signature [<!ENTITY e "e">]><Signature xmlns'
    yield "a second object", "</Object>", '</Object><Object Id="x"></Object>'
    yield "an object first", '<Object Id="idPackageObject">', '<Object></Object><Object Id="idPackageObject">'
    yield "the same Id twice", "<KeyInfo>", '<KeyInfo Id="idPackageObject">'
    yield "another Id", 'Id="idPackageObject"', 'Id="idPackageObjects"'
    yield "an Id", "<KeyInfo>", '<KeyInfo Id="x">'
    yield "a key without certificate", "<X509Data>", "<KeyName>x</KeyName><X509Data>"
    yield "a comment at the time", "<Comment></Comment>", "<Comment>anything</Comment>"
    yield "another time", "+00:00</Value>", "+01:00</Value>"
    yield "the manifest's first part", "<Manifest><Reference", "<Manifest><Reference Id='a'"
    yield "an attribute", "<SignedInfo>", '<SignedInfo Id="x">'
    yield "an identifier", f'<Signature xmlns="{DSIG}">', f'<Signature xmlns="{DSIG}" Id="packageSignature">'
    yield "another root", "</Signature>", "</Signature><Signature></Signature>"


@pytest.mark.parametrize(("name", "old", "new"), list(_edits()))
def test_edits_of_the_signature(signed: Signed, name: str, old: str, new: str) -> None:
    content = signed.parts[SIGNATURE].decode()
    changed = content.replace(old, new, 1)
    assert changed != content, name
    assert signed.refusal(signed.repacked({SIGNATURE: changed.encode()})) is not None


def test_wrapping(signed: Signed) -> None:
    """The signed Object elsewhere, another one in its place; the whole signature in another."""
    content = signed.parts[SIGNATURE].decode()
    (package_object,) = re.findall(r'<Object Id="idPackageObject">.*?</Object>', content)
    (manifest,) = re.findall(r"<Manifest>.*?</Manifest>", content)
    forged = package_object.replace(manifest, "<Manifest></Manifest>")
    for changed in (
        content.replace(package_object, forged + package_object),
        content.replace(package_object, package_object + forged),
        content.replace(package_object, f"<Object>{package_object}</Object>"),
        content.replace(package_object, forged.replace("idPackageObject", "id") + package_object),
        content.replace(package_object, f'{forged}<Object Id="x"><Manifest>{package_object}</Manifest></Object>'),
        content.replace("</Signature>", f"<Object>{content[content.index('<Signature') :]}</Object></Signature>"),
        content.replace(manifest, manifest + manifest),
        content.replace(manifest, manifest.replace("</Manifest>", "<Manifest></Manifest></Manifest>")),
    ):
        assert changed != content
        assert signed.refusal(signed.repacked({SIGNATURE: changed.encode()})) is not None


def test_parts_added_taken_away_and_renamed(signed: Signed) -> None:
    for name in (
        "further.json",
        "Folder/further.dll",
        "a.psdsxs",
        "_rels/manifest.json.rels",
        "folder/",
        "x",
        "MANIFEST.json",
    ):
        assert signed.refusal(signed.repacked({name: b"{}"})) is not None, name
    for name in signed.parts:
        assert signed.refusal(signed.repacked({name: None})) is not None, name
        renamed = f"{name}.json"
        assert signed.refusal(signed.repacked({name: None, renamed: signed.parts[name]})) is not None, name
    names = [part.name for part in PARTS]
    for first, second in pairwise(names):
        swapped: dict[str, bytes | None] = {first: signed.parts[second], second: signed.parts[first]}
        assert signed.refusal(signed.repacked(swapped)) is not None, first


def test_types_and_relationships_changed(signed: Signed) -> None:
    types, rels, origins = (signed.parts[name] for name in (TYPES, RELS, ORIGINS))
    for changed in (
        types.replace(b'"text/plain"', b'"text/html"', 1),
        types.replace(b'"vsixmanifest" ContentType="text/xml"', b'"vsixmanifest" ContentType="text/html"'),
        types.replace(b"</Types>", b'<Override PartName="/manifest.json" ContentType="text/plain" /></Types>'),
        types.replace(b"</Types>", b'<Override PartName="/none.json" ContentType="text/plain" /></Types>'),
        types.replace(b"<Default", b"<Default  ", 1),
        types.replace(b" />", b"/>", 1),
        types.replace(b'"json"', b'"Json"', 1),
        types.replace(b"digital-signature-xmlsignature", b"digital-signature-Xmlsignature"),
        types.replace(b'"json"', b"'json'", 1),
        content_types(),
    ):
        assert changed != types
        assert signed.refusal(signed.repacked({TYPES: changed})) is not None, changed
    assert signed.refusal(signed.repacked({RELS: relationships()})) is not None
    assert signed.refusal(signed.repacked({RELS: rels.replace(b"origin.psdor", b"origin2.psdor")})) is not None
    assert signed.refusal(signed.repacked({ORIGINS: relationships()})) is not None
    further = b'<Relationship Target="/manifest.json" Id="R" Type="urn:x"/></Relationships>'
    for name, content in ((RELS, rels), (ORIGINS, origins)):
        changed = content.replace(b"</Relationships>", further)
        assert signed.refusal(signed.repacked({name: changed})) is not None
    second = SIGNATURE.replace("signature.psdsxs", "second.psdsxs")
    both = origins.replace(
        b"</Relationships>", f'<Relationship Target="/{second}" Id="R" Type="{_kind()}"/></Relationships>'.encode()
    )
    assert signed.refusal(signed.repacked({ORIGINS: both, second: signed.parts[SIGNATURE]})) is not None


def _kind() -> str:
    return "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/signature"


def test_signatures_of_another_package(signed: Signed) -> None:
    """The whole signature, its value, its Object, its timestamp: each taken from another package of the publisher."""
    ours, theirs = signed.parts[SIGNATURE].decode(), signed.other[SIGNATURE].decode()
    assert signed.refusal(signed.repacked({SIGNATURE: theirs.encode()})) == "digest"
    for pattern in (
        r"<SignatureValue>.*?</SignatureValue>",
        r'<Object Id="idPackageObject">.*?</Object>',
        r"<EncodedTime>.*?</EncodedTime>",
        r"<SignedInfo>.*?</SignedInfo>",
    ):
        (mine,), (other,) = re.findall(pattern, ours), re.findall(pattern, theirs)
        assert signed.refusal(signed.repacked({SIGNATURE: ours.replace(mine, other).encode()})) is not None, pattern


def test_certificates_added_and_taken_away(signed: Signed) -> None:
    content = signed.parts[SIGNATURE].decode()
    certificates = re.findall(r"<X509Certificate>.*?</X509Certificate>", content)
    garbage = f"<X509Certificate>{base64.b64encode(b'0' * 99).decode()}</X509Certificate>"
    for changed in (
        content.replace(certificates[0], certificates[0] * 2),
        content.replace(certificates[0], garbage + certificates[0]),
        content.replace(certificates[-1], certificates[-1] + garbage),
        content.replace("".join(certificates), ""),
        content.replace("<KeyInfo>", "<KeyInfo><X509Data></X509Data>"),
    ):
        assert changed != content
        assert signed.refusal(signed.repacked({SIGNATURE: changed.encode()})) is not None
