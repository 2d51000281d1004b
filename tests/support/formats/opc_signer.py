"""Signs a VSIX package as VSIXSignTool and Microsoft's `sign` do, without any of our code: zipfile writes the archive,
lxml the XML, libxml2 the canonical forms."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_KINDS = f"{_PACKAGE}/relationships/digital-signature"
_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_SHA256, _RSA = "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_FOLDER = "package/services/digital-signature"
_ORIGIN, _SIGNATURE = f"{_FOLDER}/origin.psdor", f"{_FOLDER}/xml-signature/is0o45a5alnd402is8m4zihsc.psdsxs"
_TYPES = {
    "rels": "application/vnd.openxmlformats-package.relationships+xml",
    "psdor": "application/vnd.openxmlformats-package.digital-signature-origin",
    "psdsxs": "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml",
}


def sign_as_vsixsigntool(
    source: Path,
    target: Path,
    key: rsa.RSAPrivateKey,
    certificate: bytes,
    stamp: Callable[[bytes], bytes] | None = None,
) -> None:
    """Write the package at `source` with a signature to `target`, `stamp`ed with an RFC 3161 token where given."""
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    types = etree.fromstring(parts.pop("[Content_Types].xml"))
    for extension, kind in _TYPES.items():
        etree.SubElement(types, f"{{{_PACKAGE}/content-types}}Default", Extension=extension, ContentType=kind)
    known = {item.get("Extension"): item.get("ContentType") for item in types if item.get("Extension")}
    known |= {item.get("PartName")[1:]: item.get("ContentType") for item in types if item.get("PartName")}
    parts |= {
        "_rels/.rels": _relationship(_ORIGIN, "origin", "RB762E3EC"),
        _ORIGIN: b"",
        f"{_FOLDER}/_rels/origin.psdor.rels": _relationship(_SIGNATURE, "signature", "RD47E0908"),
    }
    listed = {name: known.get(name) or known[name.rpartition(".")[2]] for name in parts}
    signature = _signature(listed, parts, key, certificate)
    if stamp is not None:
        value = base64.b64decode(signature.find(f"{{{_DSIG}}}SignatureValue").text)
        _add_timestamp(signature, stamp(value))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            *parts.items(),
            (_SIGNATURE, _document(signature)),
            ("[Content_Types].xml", _document(types)),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2017, 4, 29, 11, 26, 0)), content)


def _relationship(target: str, kind: str, identifier: str) -> bytes:
    root = etree.Element(f"{{{_PACKAGE}/relationships}}Relationships", nsmap={None: f"{_PACKAGE}/relationships"})
    attributes = {"Target": f"/{target}", "Id": identifier, "Type": f"{_KINDS}/{kind}"}
    etree.SubElement(root, f"{{{_PACKAGE}/relationships}}Relationship", attributes)
    return _document(root)


def _document(root: etree._Element) -> bytes:
    return b'<?xml version="1.0" encoding="utf-8"?>' + bytes(etree.tostring(root))


def _signature(
    listed: dict[str, str], parts: dict[str, bytes], key: rsa.RSAPrivateKey, certificate: bytes
) -> etree._Element:
    root = etree.Element(f"{{{_DSIG}}}Signature", nsmap={None: _DSIG})
    info = _add(root, "SignedInfo")
    value, data = _add(root, "SignatureValue"), _add(_add(root, "KeyInfo"), "X509Data")
    _add(data, "X509Certificate").text = base64.b64encode(certificate).decode()
    package = _add(root, "Object", Id="idPackageObject")
    manifest = _add(package, "Manifest")
    for name, kind in listed.items():
        _digest(_add(manifest, "Reference", URI=f"/{name}?ContentType={kind}"), parts[name])
    time = _add(_add(package, "SignatureProperties"), "SignatureProperty", Id="idSignatureTime", Target="")
    namespace = f"{_PACKAGE}/digital-signature"
    stated = etree.SubElement(time, f"{{{namespace}}}SignatureTime", nsmap={None: namespace})
    for name, text in (("Format", "YYYY-MM-DDThh:mm:ss.sTZD"), ("Value", "2017-04-29T11:26:15.0-04:00")):
        etree.SubElement(stated, f"{{{namespace}}}{name}").text = text
    _add(info, "CanonicalizationMethod", Algorithm=_C14N)
    _add(info, "SignatureMethod", Algorithm=_RSA)
    reference = _add(info, "Reference", URI="#idPackageObject", Type=f"{_DSIG}Object")
    _add(_add(reference, "Transforms"), "Transform", Algorithm=_C14N)
    _digest(reference, _canonical(package))
    value.text = base64.b64encode(key.sign(_canonical(info), padding.PKCS1v15(), hashes.SHA256())).decode()
    return root


def _add_timestamp(signature: etree._Element, token: bytes) -> None:
    namespace = f"{_PACKAGE}/digital-signature"
    stamp = etree.SubElement(
        _add(signature, "Object"), f"{{{namespace}}}TimeStamp", {"Id": "idSignatureTimestamp"}, nsmap={None: namespace}
    )
    etree.SubElement(stamp, f"{{{namespace}}}Comment").text = "Timestamp got from the time stamp server"
    etree.SubElement(stamp, f"{{{namespace}}}EncodedTime").text = base64.b64encode(token).decode()


def _add(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{_DSIG}}}{name}", attributes)


def _digest(reference: etree._Element, content: bytes) -> None:
    _add(reference, "DigestMethod", Algorithm=_SHA256)
    _add(reference, "DigestValue").text = base64.b64encode(hashlib.sha256(content).digest()).decode()


def _canonical(element: etree._Element) -> bytes:
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    return bytes(etree.tostring(alone, method="c14n"))
