"""VSIX packages: what we sign keeps the rules of the Open Packaging Conventions, by libxmlsec1 and openssl."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from kspsign.authenticode.cms.timestamp import check_reply, make_query
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.values import DigestAlgorithm
from support.certificates import PASSWORD, signing_file
from support.formats.opc_rules import OpcPackage, judge
from support.formats.opc_signer import sign_as_vsixsigntool
from support.formats.vsix_samples import MANIFEST, PARTS, content_types, package, relationships
from support.formats.zips import Part, build_zip
from support.samples import Run, kspsign
from support.signing import Publisher

_RELATED = relationships('<Relationship Type="urn:other" Target="/manifest.json" Id="R1" />')
_RELS = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml" />'


def write(folder: Path, data: bytes, name: str = "some.vsix") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def perform(publisher: Publisher, *arguments: object) -> Run:
    return kspsign(*arguments, folder=publisher.file.path.parent)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_signed_package_keeps_the_rules(publisher: Publisher, tmp_path: Path, algorithm: str) -> None:
    path = write(tmp_path, package())
    run = publisher.sign(path, "--digest", algorithm)
    assert (run.code, run.file["format"]) == (0, "vsix"), run.text
    assert judge(path, publisher.roots).subject.rfc4514_string() == "CN=Test publisher"
    assert path.read_bytes().startswith(package()[: package().index(b"[Content_Types]") - 30])
    with zipfile.ZipFile(path) as archive:
        assert {part.name: archive.read(part.name) for part in PARTS} == {part.name: part.data for part in PARTS}
    checks = {check["name"] for check in run.file["verdict"]["checks"]}
    assert {"package-parts", "content-types", "signature-entry", "package-content", "timestamp-imprint"} <= checks
    changed = path.read_bytes().replace(b"Some%20file", b"Same%20file")
    with pytest.raises(AssertionError):
        judge(write(tmp_path, changed, "changed.vsix"), publisher.roots)
    assert publisher.verify(path).code == 0


@pytest.mark.parametrize(
    "data",
    [
        package(Part("_rels/.rels", _RELATED), types=content_types(_RELS)),
        package(types=content_types('<Override PartName="/manifest.json" ContentType="text/plain" />')),
        package(types=content_types(ending="/")),
        package(types=content_types().replace(b"><D", b">\r\n\t<D").replace(b"></T", b">\r\n</T")),
        package(without="manifest.json"),
        package(without="extension.vsixmanifest"),
        package(Part("padded.json", b"{}", extra=struct.pack("<4H20x", 0xA220, 24, 0xA028, 20))),
    ],
)
def test_packages_of_each_shape_are_signed_and_come_back(publisher: Publisher, tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path, data)
    assert publisher.sign(path).code == 0
    judge(path, publisher.roots)
    signed, before = path.read_bytes(), OpcPackage(write(tmp_path, data, "before.vsix")).content
    assert perform(publisher, "remove", path).code == 0
    assert publisher.verify(path).error_code == "TRUST_E_NOSIGNATURE"
    assert OpcPackage(path).content == before
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "before.vsix") as original:
        assert archive.read("[Content_Types].xml") == original.read("[Content_Types].xml")
    assert publisher.sign(path).code == 0
    assert OpcPackage(path).content.keys() == OpcPackage(write(tmp_path, signed, "again.vsix")).content.keys()


def test_signed_packages_are_skipped_stamped_and_replaced(publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path, package())
    assert publisher.sign(path, stamped=False).code == 0
    assert publisher.verify(path).error_code == "TRUST_E_TIME_STAMP"
    stamping = publisher.stamp(path)
    assert stamping.code == 0, stamping.text
    assert publisher.verify(path).code == 0
    judge(path, publisher.roots)
    assert publisher.sign(path).file["outcome"] == "skipped"
    run = publisher.sign(path, "--append")
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_NOT_SUPPORTED", 0)
    assert publisher.sign(path, "--replace").code == 0
    judge(path, publisher.roots)


def test_a_package_that_another_program_signed(
    publisher: Publisher, tmp_path: Path, timestamp_server: TimestampServer
) -> None:
    """In the way of VSIXSignTool: verified, stamped, replaced and taken out."""
    store = pkcs12.load_pkcs12(publisher.file.path.read_bytes(), PASSWORD.encode())
    assert store.cert is not None
    assert isinstance(store.key, rsa.RSAPrivateKey)
    certificate = store.cert.certificate.public_bytes(Encoding.DER)
    unsigned = write(tmp_path, package(), "unsigned.vsix")

    def stamp(value: bytes) -> bytes:
        query = make_query(value, DigestAlgorithm.SHA256)
        asked = {"Content-Type": "application/timestamp-query"}
        answer = urllib3.request("POST", timestamp_server.url, body=query.der, headers=asked, timeout=30)
        return check_reply(answer.data, query, value)[0]

    for name, stamper, code in (("stamped.vsix", stamp, None), ("bare.vsix", None, "TRUST_E_TIME_STAMP")):
        path = tmp_path / name
        sign_as_vsixsigntool(unsigned, path, store.key, certificate, stamper)
        judge(path, publisher.roots)
        run = publisher.verify(path)
        assert run.error_code == code, run.text
        data = path.read_bytes()
        assert publisher.refusal(path, data.replace(b"idPackageObject", b"idPackageobject")) is not None
        path.write_bytes(data)
        if stamper is None:
            assert publisher.stamp(path).code == 0
            judge(path, publisher.roots)
        assert publisher.sign(path, "--replace").code == 0
        judge(path, publisher.roots)
        assert len(OpcPackage(path).content) == len(OpcPackage(unsigned).content) + 4
        path.write_bytes(data)
        assert perform(publisher, "remove", path).code == 0
        assert publisher.verify(path).error_code == "TRUST_E_NOSIGNATURE"


def test_two_phases(publisher: Publisher, tmp_path: Path) -> None:
    path, document, signed = write(tmp_path, package()), tmp_path / "digests.json", tmp_path / "signed.json"
    folder = ("--folder", tmp_path)
    assert perform(publisher, "digest", path, *folder, "--output", document).code == 0
    elliptic = signing_file(tmp_path)
    key = (*elliptic.options, "--no-timestamp", "--trust-root", elliptic.root)
    refused = perform(publisher, "sign", "--document", document, "--output", signed, *key)
    assert (refused.error_code, refused.report["totals"]["signatures_used"]) == ("ERROR_NOT_SUPPORTED", 0)
    stamp = ("--timestamp-url", publisher.timestamp_url, "--trust-root", publisher.roots)
    assert (
        perform(publisher, "sign", "--document", document, "--output", signed, *publisher.file.options, *stamp).code
        == 0
    )
    other = tmp_path / "other"
    other.mkdir()
    write(other, package(without="manifest.json"))
    attach = ("--document", signed, "--trust-root", publisher.roots)
    assert perform(publisher, "attach", *attach, "--folder", other).error_code == "TRUST_E_BAD_DIGEST"
    assert perform(publisher, "attach", *attach, *folder).code == 0
    judge(path, publisher.roots)
    assert publisher.verify(path).code == 0
    assert perform(publisher, "extract", path).error_code == "ERROR_NOT_SUPPORTED"
    text = document.read_text().replace('"attributes": "P', '"attributes": "Q')
    document.write_text(text)
    assert perform(publisher, "sign", "--document", document, "--output", signed, *publisher.file.options).code == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (package(Part("extension/package.json", b"{}")), "Visual Studio Code"),
        (package(Part("some file.json", b"{}")), "percent-encoded"),
        (package(Part("folder/")), "folder"),
        (package(Part("readme.unknown", b"x")), "no content type"),
        (package(Part("MANIFEST.json", b"{}")), "differ in case"),
        (package(Part("manifest.json/a.json", b"{}")), "below"),
        (package(types=content_types('<Override PartName="/none.txt" ContentType="text/plain" />')), "not there"),
        (package(types=content_types('<Default Extension=".txt" ContentType="text/plain" />')), "without its dot"),
        (package(types=content_types('<Default Extension="rels" ContentType="text/plain" />')), "has the type"),
        (package(types=content_types("<!-- comment -->")), "no program writes"),
        (package(Part("_rels/.rels", b"<Relationships/>"), types=content_types(_RELS)), "relationships"),
        (package(Part("a.psdor"), types=content_types(_RELS.replace('"rels"', '"psdor"'))), "has the type"),
        (build_zip([Part("extension.vsixmanifest", MANIFEST)]), "has no [Content_Types].xml"),
        (package(Part("b.json", b"{}", extra=b"\xfe\xca\0\0")), "extra field"),
    ],
)
def test_what_can_not_be_signed_costs_no_signature(
    publisher: Publisher, tmp_path: Path, data: bytes, words: str
) -> None:
    run = publisher.sign(write(tmp_path, data))
    assert run.report["totals"]["signatures_used"] == 0
    assert words in run.file["error"]["message"], run.text
    assert run.file["error"]["remedy"]
    assert (tmp_path / "some.vsix").read_bytes() == data
