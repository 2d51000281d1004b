"""XML signatures: those of libxmlsec1 are read, libxmlsec1 and signxml accept ours, and what is odd is refused."""

from __future__ import annotations

from ssl import DER_cert_to_PEM_cert

import pytest
import xmlsec
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from kspsign.authenticode.cms.algorithms import HASHES
from kspsign.authenticode.xmldsig.algorithms import DSIG, ENVELOPED, STANDARD
from kspsign.authenticode.xmldsig.canonical import Canonicalization
from kspsign.authenticode.xmldsig.document import Document, parse_document
from kspsign.authenticode.xmldsig.key_info import rsa_key_value
from kspsign.authenticode.xmldsig.signature import XmlSignature, canonical_digest, read_xml_signature
from kspsign.authenticode.xmldsig.spelling import is_plain
from kspsign.authenticode.xmldsig.structure import read_document
from kspsign.authenticode.xmldsig.write import (
    Markup,
    ReferenceTo,
    digest_to_sign,
    element,
    in_signature,
    key_value,
    method_of,
    signature_value,
    signed_info,
    x509_data,
)
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from support.formats.xml_keys import KEYS, XmlKey, xmlsec_key

_C14N = Canonicalization.INCLUSIVE
_OBJECT = element("Object", {"Id": "o"}, element("p:x", {"xmlns:p": "urn:p", "b": "1 & <2>", "a": "é"}, "text\r\n>"))
_SHA2 = (DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512)


def _sign(key: XmlKey, digest: bytes, algorithm: DigestAlgorithm) -> bytes:
    """As the key store does: PKCS#1 v1.5, or ECDSA as DER."""
    prehashed = utils.Prehashed(HASHES[algorithm])
    if isinstance(key.private, rsa.RSAPrivateKey):
        return key.private.sign(digest, padding.PKCS1v15(), prehashed)
    return key.private.sign(digest, ec.ECDSA(prehashed))


def _enveloping(
    key: XmlKey, algorithm: DigestAlgorithm, *, with_key: bool = False, method: Canonicalization = _C14N
) -> bytes:
    digest = canonical_digest(in_signature(_OBJECT), method, algorithm)
    to = ReferenceTo("#o", digest, algorithm, (method,), f"{DSIG}Object")
    signed = signed_info(method_of(key.certificate, algorithm), method, [to], STANDARD)
    value = _sign(key, digest_to_sign(signed, method, algorithm), algorithm)
    keys = [x509_data([key.certificate])]
    if with_key and isinstance(key.private, rsa.RSAPrivateKey):
        keys.insert(0, key_value(rsa_key_value(key.private.public_key())))
    parts = (signed, signature_value(value, key.certificate), element("KeyInfo", None, *keys), _OBJECT)
    return element("Signature", {"xmlns": DSIG}, *parts).encode()


def _read(data: bytes) -> tuple[Document, XmlSignature]:
    document = read_document(data)
    return document, read_xml_signature(document.root, STANDARD)


def _fault(data: bytes) -> str | None:
    """Why an enveloping signature does not hold, None when it does."""
    document, signature = _read(data)
    (reference,) = signature.signed_info.references
    (found,) = signature.objects
    if document.identified.get(reference.uri.removeprefix("#")) is not found:
        return "the reference is to something else"
    if canonical_digest(found, _C14N, reference.algorithm) != reference.digest:
        return "the digest differs"
    return signature.signer_fault(signature.key_info.certificates[0])


def _judged(data: bytes, key: XmlKey) -> bool:
    """By libxmlsec1."""
    tree = etree.fromstring(data)
    xmlsec.tree.add_ids(tree, ["Id"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec_key(key)
    try:
        context.verify(tree if tree.tag == f"{{{DSIG}}}Signature" else xmlsec.tree.find_node(tree, "Signature"))
    except xmlsec.Error:
        return False
    return True


@pytest.mark.parametrize("algorithm", _SHA2)
@pytest.mark.parametrize("kind", KEYS)
def test_libxmlsec_and_we_accept_what_we_sign_and_neither_what_was_changed(
    kind: str, algorithm: DigestAlgorithm
) -> None:
    key = KEYS[kind]
    signed = _enveloping(key, algorithm)
    assert _judged(signed, key)
    assert _fault(signed) is None
    for old, new in ((b"text", b"tent"), (b'b="1', b'b="2'), (b"urn:p", b"urn:q"), (b'Type="', b'Type="x')):
        changed = signed.replace(old, new, 1)
        assert changed != signed
        assert not _judged(changed, key)
        assert _fault(changed) is not None


@pytest.mark.parametrize("algorithm", _SHA2)
def test_signxml_accepts_what_we_sign(algorithm: DigestAlgorithm) -> None:
    # Exclusive: lxml's inclusive form of an element declares xmlns="" in each that is in it.
    key = KEYS["rsa"]
    configuration = SignatureConfiguration(require_x509=True, location="./")
    found = XMLVerifier().verify(
        _enveloping(key, algorithm, with_key=True, method=Canonicalization.EXCLUSIVE),
        x509_cert=_pem(key),
        expect_config=configuration,
    )
    assert not isinstance(found, list)
    assert b"urn:p" in found.signed_data


def _pem(key: XmlKey) -> str:
    return DER_cert_to_PEM_cert(key.certificate)


_CONTENT = b'<m:a xmlns:m="urn:m" xmlns="urn:d"><b m:c="d"/>text &amp; <!-- c --></m:a>'


@pytest.mark.parametrize("kind", ["rsa", "p256", "p521"])
def test_an_enveloped_signature_of_signxml_holds_here(kind: str) -> None:
    key = KEYS[kind]
    signer = XMLSigner(
        signature_algorithm="rsa-sha256" if kind == "rsa" else "ecdsa-sha256",
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    tree = signer.sign(etree.fromstring(_CONTENT), key=key.private, cert=_pem(key))
    for certificate in tree.iter(f"{{{DSIG}}}X509Certificate"):  # in lines, and not signed
        certificate.text = (certificate.text or "").replace("\n", "")
    document = read_document(etree.tostring(tree))
    signature = read_xml_signature(document.root.elements[-1], STANDARD)
    (found,) = signature.signed_info.references
    assert [step.algorithm for step in found.transforms] == [ENVELOPED, Canonicalization.EXCLUSIVE]
    digest = canonical_digest(document, Canonicalization.EXCLUSIVE, found.algorithm, omit=signature.element)
    assert digest == found.digest
    assert signature.signer_fault(key.certificate) is None
    assert signature.signer_fault(KEYS["p384"].certificate) is not None


def test_libxmlsec_accepts_an_enveloped_signature_of_ours_and_not_its_twin() -> None:
    key, algorithm, exclusive = KEYS["rsa"], DigestAlgorithm.SHA256, Canonicalization.EXCLUSIVE
    digest = canonical_digest(parse_document(_CONTENT), exclusive, algorithm)
    to = ReferenceTo("", digest, algorithm, (ENVELOPED, exclusive))
    info = signed_info(method_of(key.certificate, algorithm), exclusive, [to], STANDARD)
    value = signature_value(_sign(key, digest_to_sign(info, exclusive, algorithm), algorithm), key.certificate)
    signature = element("Signature", {"xmlns": DSIG}, info, value).encode()
    signed = _CONTENT.replace(b"</m:a>", signature + b"</m:a>")
    assert _judged(signed, key)
    assert not _judged(signed.replace(b"text", b"tent"), key)
    assert not _judged(signed.replace(b"</m:a>", b" </m:a>"), key)


_SIGNED = _enveloping(KEYS["rsa"], DigestAlgorithm.SHA256, with_key=True)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (b"<Signature ", b"<!DOCTYPE Signature><Signature ", "document type"),
        (b"<Signature ", b'<!DOCTYPE x [<!ENTITY e "text">]><Signature ', "document type"),
        (b"<SignedInfo>", b"<SignedInfo><!-- -->", "comment"),
        (b"<SignedInfo>", b"<SignedInfo> ", "text"),
        (b"<SignedInfo>", b"<SignedInfo><?x?>", "instruction"),
        (b"<SignedInfo>", b'<SignedInfo Id="s">', "attribute"),
        (b"<SignatureValue>", b"<SignatureValue> ", "base64"),
        (b"<SignatureValue>", b"<SignatureValue><!-- -->", "something other"),
        (b"<KeyInfo>", b"<KeyInfo><KeyName>x</KeyName>", "KeyName"),
        (b"</X509Data>", b"</X509Data><X509Data/>", "X509Data"),
        (b"</KeyInfo>", b"</KeyInfo><KeyInfo/>", "KeyInfo"),
        (b"</Signature>", b"<SignedInfo/></Signature>", "SignedInfo"),
        (b"</Object>", b'</Object><Object Id="o"></Object>', "occurs twice"),
        (b"</Transforms>", b'<Transform Algorithm="x"></Transform></Transforms>', ""),
        (b"rsa-sha256", b"hmac-sha256", "not supported"),
        (b"rsa-sha256", b"rsa-md5", "not supported"),
        (b"REC-xml-c14n-20010315", b"REC-xml-c14n-20010316", "not supported"),
        (b"xmlenc#sha256", b"xmlenc#sha512", "not of"),
        (b"<DigestMethod ", b'<DigestMethod x="y" ', "attribute"),
        (b"<Modulus>", b"<Modulus>AA", ""),
    ],
)  # fmt: skip
def test_what_is_not_of_the_schema_is_refused(old: bytes, new: bytes, cause: str) -> None:
    changed = _SIGNED.replace(old, new, 1)
    assert changed != _SIGNED
    if not cause:
        assert _fault_or_error(changed)
        return
    with pytest.raises(TrustError, match=cause):
        _read(changed)


def _fault_or_error(data: bytes) -> str | None:
    try:
        return _fault(data)
    except TrustError as error:
        return error.message


def test_a_bare_key_of_another_pair_is_refused() -> None:
    other = rsa_key_value(rsa.generate_private_key(65537, 2048).public_key())
    start, end = _SIGNED.index(b"<KeyValue>"), _SIGNED.index(b"</KeyValue>") + len(b"</KeyValue>")
    changed = _SIGNED[:start] + key_value(other).encode() + _SIGNED[end:]
    assert _fault(_SIGNED) is None
    assert _fault(changed) == "its KeyValue is another key than the certificate's"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"<SignedInfo>", b"<SignedInfo >"),
        lambda data: data.replace(b'URI="#o"', b"URI='#o'"),
        lambda data: data.replace(b'URI="#o"', b'URI="&#35;o"'),
        lambda data: data.replace(b'URI="#o"', b' URI="#o"'),
        lambda data: data.replace(b"<KeyInfo>", b"<KeyInfo><!---->"),
        lambda data: data.replace(b"</SignatureValue>", b"<![CDATA[]]></SignatureValue>"),
        lambda data: data.replace(b"></Transform>", b"/>"),
        lambda data: b'<?xml version="1.0" encoding="utf-8" ?>' + data,
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: data.decode().encode("utf-16"),
    ],
)  # fmt: skip
def test_another_spelling_is_noticed(change) -> None:  # type: ignore[no-untyped-def]
    changed = change(_SIGNED)
    assert changed != _SIGNED
    assert is_plain(_SIGNED, parse_document(_SIGNED))
    assert not is_plain(changed, parse_document(changed))


def test_each_program_s_own_spelling_is_known() -> None:
    short = Markup(_SIGNED.decode()).replace("></Transform>", " />").replace("></DigestMethod>", " />")
    short = short.replace("></CanonicalizationMethod>", " />").replace("></SignatureMethod>", " />")
    data = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>' + short.encode()
    assert is_plain(data, parse_document(data))


def test_elements_come_in_document_order() -> None:
    root = parse_document(b"<a><b><c/><d/></b><e><f/></e></a>").root
    assert [found.name for found in root.iterate()] == [*"abcdef"]


def test_documents_have_bounds() -> None:
    for data, cause in (
        (b"<a>" * 101 + b"</a>" * 101, "in each other"),
        (b'<?xml version="1.1"?><a/>', "XML 1.1"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><a/>', "iso-8859-1"),
        (b"<a>" + b"".join(b"<b%d/>" % number for number in range(10_001)) + b"</a>", "different names"),
        (b"<a" + b"".join(b' xmlns:p%d="u"' % number for number in range(101)) + b"/>", "namespaces are declared"),
        (b'<a Id="1"><b ID="1"/></a>', "occurs twice"),
        (b'<a Id="1"><b xml:id="1"/></a>', "occurs twice"),
        (b"<a:b/>", "unbound prefix"),
        (b'<a xmlns:p="u" xmlns:q="u" p:x="" q:x=""/>', "duplicate attribute"),
        (b"<a/><b/>", "junk"),
        (b"", "no element"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=cause):
            parse_document(data)
