"""Judges a signed VSIX package by ECMA-376 Part 2 (Open Packaging Conventions), without any of our code: zipfile reads
the archive, lxml the XML, libxmlsec1 the signature, openssl the timestamp.

Raises AssertionError with what is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import subprocess
import zipfile
from pathlib import Path

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_REL, _TYPES = f"{{{_PACKAGE}/relationships}}", f"{{{_PACKAGE}/content-types}}"
_SIG = f"{{{_PACKAGE}/digital-signature}}"
_DSIG = "{http://www.w3.org/2000/09/xmldsig#}"
_ORIGIN, _SIGNATURE = (f"{_PACKAGE}/relationships/digital-signature/{name}" for name in ("origin", "signature"))
_HASHES = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}

_MORE = "http://www.w3.org/2001/04/xmldsig-more#rsa-"
_METHODS = {
    f"{_MORE}sha256": xmlsec.constants.TransformRsaSha256,
    f"{_MORE}sha384": xmlsec.constants.TransformRsaSha384,
    f"{_MORE}sha512": xmlsec.constants.TransformRsaSha512,
}


class OpcPackage:
    """A package as its parts: names with the slash in front (§9.1.1), types (§10.1.2) and relationships (§9.3)."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None, "an entry is damaged"
            names = archive.namelist()
            assert len({name.lower() for name in names}) == len(names), "two names are equivalent"
            self.content = {f"/{name}": archive.read(name) for name in names}
        types = etree.fromstring(self.content.pop("/[Content_Types].xml"))
        self._defaults = {
            item.get("Extension").lower(): item.get("ContentType") for item in types.iter(f"{_TYPES}Default")
        }
        self._overrides = {item.get("PartName"): item.get("ContentType") for item in types.iter(f"{_TYPES}Override")}
        assert set(self._overrides) <= set(self.content), "a type is of no part"

    def type_of(self, part: str) -> str:
        """Its content type."""
        found = self._overrides.get(part) or self._defaults.get(part.rpartition(".")[2].lower())
        assert found, f"{part} has no content type"
        return str(found)

    def one_target(self, source: str, kind: str) -> str:
        """The part that the one relationship of that kind leads to from `source` ("/" for the package)."""
        folder, _, name = source.rpartition("/")
        part = f"{folder}/_rels/{name}.rels"
        assert self.type_of(part) == "application/vnd.openxmlformats-package.relationships+xml"
        found = [item for item in etree.fromstring(self.content[part]) if item.get("Type") == kind]
        assert len({item.get("Id") for item in found}) == len(found) == 1, f"{len(found)} relationships of {source}"
        assert found[0].get("TargetMode", "Internal") == "Internal"
        return posixpath.normpath(posixpath.join("/", folder, found[0].get("Target")))


def judge(path: Path, roots: Path) -> x509.Certificate:
    """The signer of a package that keeps all rules of §13: every part but the signature is signed with its type."""
    package = OpcPackage(path)
    origin = package.one_target("/", _ORIGIN)
    assert package.type_of(origin) == "application/vnd.openxmlformats-package.digital-signature-origin"
    assert package.content[origin] == b""
    signature = package.one_target(origin, _SIGNATURE)
    assert package.type_of(signature).endswith("digital-signature-xmlsignature+xml")
    root = etree.fromstring(package.content[signature])
    signer = _judge_xml(root)
    (manifest,) = root.iter(f"{_DSIG}Manifest")
    signed = {}
    for reference in manifest:
        name, _, kind = reference.get("URI").partition("?ContentType=")
        assert package.type_of(name) == kind, f"{name} is of another type"
        assert reference.find(f"{_DSIG}Transforms") is None
        algorithm = _HASHES[reference.find(f"{_DSIG}DigestMethod").get("Algorithm")]
        digest = hashlib.new(algorithm, package.content[name]).digest()
        assert base64.b64encode(digest).decode() == reference.find(f"{_DSIG}DigestValue").text, f"{name} was changed"
        assert name not in signed, f"{name} is signed twice"
        signed[name] = digest
    assert set(signed) == set(package.content) - {signature}, "not every part is signed"
    _judge_timestamp(root, roots, path.with_suffix(".token"))
    return signer


def _judge_xml(root: etree._Element) -> x509.Certificate:
    """The signer's certificate, once libxmlsec1 has accepted the signature under its key alone.

    The canonical forms are libxml2's. libxmlsec1 does not verify the whole: it takes each part for another document.
    """
    assert root.tag == f"{_DSIG}Signature"
    info, objects = root.find(f"{_DSIG}SignedInfo"), root.findall(f"{_DSIG}Object")
    (reference,) = info.iter(f"{_DSIG}Reference")
    assert reference.get("URI") == f"#{objects[0].get('Id')}", "something else is signed"
    identifiers = [item.get("Id") for item in root.iter() if item.get("Id")]
    assert len(set(identifiers)) == len(identifiers), "two elements have one Id"
    methods = [item.get("Algorithm") for item in (*info.iter(f"{_DSIG}Transform"), info[0])]
    assert methods == ["http://www.w3.org/TR/2001/REC-xml-c14n-20010315"] * 2
    algorithm = _HASHES[reference.find(f"{_DSIG}DigestMethod").get("Algorithm")]
    digest = hashlib.new(algorithm, _canonical(objects[0])).digest()
    assert base64.b64encode(digest).decode() == reference.find(f"{_DSIG}DigestValue").text, "the Object was changed"
    certificate = x509.load_der_x509_certificate(base64.b64decode(next(root.iter(f"{_DSIG}X509Certificate")).text))
    context = xmlsec.SignatureContext()
    pem = certificate.public_bytes(Encoding.PEM)
    context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatCertPem)
    value = base64.b64decode(root.find(f"{_DSIG}SignatureValue").text)
    try:
        context.verify_binary(_canonical(info), _METHODS[info[1].get("Algorithm")], value)
    except xmlsec.Error as error:
        raise AssertionError("libxmlsec1 refuses the signature") from error
    return certificate


def _canonical(element: etree._Element) -> bytes:
    """The inclusive form, as libxml2 has it; the element has but the default namespace around it."""
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    return bytes(etree.tostring(alone, method="c14n", exclusive=False, with_comments=False))


def _judge_timestamp(root: etree._Element, roots: Path, scratch: Path) -> None:
    """By openssl, where there is a timestamp: the token is over the signature's value."""
    encoded = root.find(f".//{_SIG}EncodedTime")
    if encoded is None:
        return
    scratch.write_bytes(base64.b64decode(encoded.text))
    value = scratch.with_suffix(".value")
    value.write_bytes(base64.b64decode(root.find(f"{_DSIG}SignatureValue").text))
    command = ["openssl", "ts", "-verify", "-token_in", "-in", str(scratch), "-data", str(value)]
    done = subprocess.run([*command, "-CAfile", str(roots)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
