"""Judges a signed manifest with nothing of ours: libxml2 canonicalises, xmlsec transforms and hashes, openssl verifies.

No library knows the two identifiers by which .NET names SHA-256 (http://www.w3.org/2000/09/xmldsig#sha256 and
#rsa-sha256), so none verifies such a signature as it is. The steps are those of .NET's SignedCmiManifest2.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import xmlsec
from asn1crypto import cms, tsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lxml import etree

from support.certificates import shared_key

DSIG = "{http://www.w3.org/2000/09/xmldsig#}"
ASM_V1, ASM_V2 = "{urn:schemas-microsoft-com:asm.v1}", "{urn:schemas-microsoft-com:asm.v2}"
LICENSE = "{urn:mpeg:mpeg21:2003:01-REL-R-NS}"
AUTHENTICODE = "{http://schemas.microsoft.com/windows/pki/2005/Authenticode}"
_RSA_SHA256 = "http://www.w3.org/2000/09/xmldsig#rsa-sha256"
_SHA256 = "http://www.w3.org/2000/09/xmldsig#sha256"


@dataclass(frozen=True)
class Judged:
    """What holds of a manifest, by name; all must."""

    checks: dict[str, bool]
    certificates: tuple[x509.Certificate, ...]

    @property
    def ok(self) -> bool:
        """Whether all does."""
        return all(self.checks.values())


def judge(path: Path) -> Judged:
    """Both signatures of the manifest, the licence, the publisher, the token and the timestamp."""
    root = etree.fromstring(path.read_bytes())
    strong = root.find(f"{DSIG}Signature")
    license_ = deepcopy(strong.find(f"{DSIG}KeyInfo/*/{LICENSE}license"))
    inner = license_.find(f"{LICENSE}issuer/{DSIG}Signature")
    digest = hashlib.sha256(_canonical(_without(root, f"{DSIG}Signature"))).digest()
    information = license_.find(f"{LICENSE}grant/{AUTHENTICODE}ManifestInformation")
    certificates = tuple(
        x509.load_der_x509_certificate(base64.b64decode(found.text)) for found in inner.iter(f"{DSIG}X509Certificate")
    )
    key = certificates[0].public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    identity = root.find(f"{ASM_V1}assemblyIdentity")
    named = information.find(f"{AUTHENTICODE}assemblyIdentity")
    bare = _without(license_, f"{LICENSE}issuer/{DSIG}Signature")
    checks = {
        "strong name digest": _stated(strong) == digest == _xmlsec_digest(_without(root, f"{DSIG}Signature")),
        "strong name value": _value_holds(strong, key, path),
        "strong name key": _key_of(strong) == _key_of(inner) == _numbers(key),
        "licence digest": _stated(inner) == hashlib.sha256(_canonical(bare)).digest() == _xmlsec_digest(bare),
        "licence value": _value_holds(inner, key, path),
        "licence hash": bytes.fromhex(information.get("Hash"))[::-1] == digest,
        "licence identity": dict(named.attrib) == dict(identity.attrib),
        "token": identity.get("publicKeyToken") == _token(key),
        "publisher": _publisher_holds(root, license_, certificates[0]),
        "algorithms": {found.get("Algorithm") for found in strong.iter(f"{DSIG}SignatureMethod")} == {_RSA_SHA256}
        and {found.get("Algorithm") for found in strong.iter(f"{DSIG}DigestMethod")} == {_SHA256},
        "timestamp": _timestamp_holds(inner),
    }
    return Judged(checks, certificates)


def _canonical(element: etree._Element) -> bytes:
    found: bytes = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    return found


def _without(root: etree._Element, path: str) -> etree._Element:
    """A copy of the element as a document of its own, without the signature."""
    copied = deepcopy(root)
    found = copied.find(path)
    if found is not None:
        parent = found.getparent()
        assert not found.tail
        parent.remove(found)
    return copied


def _stated(signature: etree._Element) -> bytes:
    return base64.b64decode(signature.findtext(f"{DSIG}SignedInfo/{DSIG}Reference/{DSIG}DigestValue"))


def _xmlsec_digest(unsigned: etree._Element) -> bytes:
    """What xmlsec states as the digest when it signs the document with an enveloped signature."""
    root = deepcopy(unsigned)
    template = xmlsec.template.create(root, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256)
    root.append(template)
    reference = xmlsec.template.add_reference(template, xmlsec.constants.TransformSha256, uri="")
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    context = xmlsec.SignatureContext()
    key = shared_key(0).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context.key = xmlsec.Key.from_memory(key, xmlsec.constants.KeyDataFormatPem)
    context.sign(template)
    return _stated(template)


def _value_holds(signature: etree._Element, key: rsa.RSAPublicKey, path: Path) -> bool:
    """Whether openssl takes the value for one over the canonical SignedInfo."""
    pem, value = path.with_suffix(".pem"), path.with_suffix(".value")
    pem.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    value.write_bytes(base64.b64decode(signature.findtext(f"{DSIG}SignatureValue")))
    command = ["openssl", "dgst", "-sha256", "-verify", str(pem), "-signature", str(value)]
    signed = _canonical(signature.find(f"{DSIG}SignedInfo"))
    done = subprocess.run(command, input=signed, capture_output=True, check=False, timeout=60)
    pem.unlink()
    value.unlink()
    return done.returncode == 0


def _key_of(signature: etree._Element) -> tuple[int, int]:
    found = signature.find(f"{DSIG}KeyInfo/{DSIG}KeyValue/{DSIG}RSAKeyValue")
    modulus, exponent = (base64.b64decode(found.findtext(f"{DSIG}{name}")) for name in ("Modulus", "Exponent"))
    return int.from_bytes(modulus), int.from_bytes(exponent)


def _numbers(key: rsa.RSAPublicKey) -> tuple[int, int]:
    numbers = key.public_numbers()
    return numbers.n, numbers.e


def _token(key: rsa.RSAPublicKey) -> str:
    """As `sn -T` has it: of a public key blob (wincrypt.h) after the strong name's header."""
    numbers = key.public_numbers()
    modulus = numbers.n.to_bytes(key.key_size // 8, "little")
    blob = bytes.fromhex("0602000000240000") + b"RSA1" + key.key_size.to_bytes(4, "little")
    blob += numbers.e.to_bytes(4, "little") + modulus
    whole = bytes.fromhex("0024000004800000") + len(blob).to_bytes(4, "little") + blob
    return hashlib.sha1(whole, usedforsecurity=False).digest()[-8:][::-1].hex()


def _publisher_holds(root: etree._Element, license_: etree._Element, certificate: x509.Certificate) -> bool:
    """Whether manifest and licence name the certificate's subject, and the key that its issuer signs with, which the
    authority key identifier states as RFC 5280 §4.2.1.2 (1) makes it."""
    publisher = root.findall(f"{ASM_V2}publisherIdentity")
    subject = license_.findtext(f"{LICENSE}grant/{AUTHENTICODE}AuthenticodePublisher/{AUTHENTICODE}X509SubjectName")
    (common,) = (str(name.value) for name in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return (
        len(publisher) == 1
        and publisher[0].get("name") == subject == f"CN={common}"
        and bytes.fromhex(publisher[0].get("issuerKeyHash")) == issuer
    )


def _timestamp_holds(inner: etree._Element) -> bool:
    """Whether the token, read by asn1crypto, is of this value; True when there is none."""
    stamps = inner.findall(f"{DSIG}Object/{AUTHENTICODE}Timestamp")
    if not stamps:
        return True
    content = cms.ContentInfo.load(base64.b64decode(stamps[0].text))["content"]["encap_content_info"]["content"].parsed
    assert isinstance(content, tsp.TSTInfo)
    imprint = content["message_imprint"]
    value = base64.b64decode(inner.findtext(f"{DSIG}SignatureValue"))
    algorithm = imprint["hash_algorithm"]["algorithm"].native
    return len(stamps) == 1 and hashlib.new(algorithm, value).digest() == imprint["hashed_message"].native
