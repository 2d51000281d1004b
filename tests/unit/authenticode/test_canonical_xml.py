"""Canonical XML against libxml2 and libxmlsec1, on documents made at random."""

from __future__ import annotations

import base64
import hashlib

import pytest
import xmlsec
from lxml import etree

from kspsign.authenticode.xmldsig.canonical import Canonicalization, canonicalize
from kspsign.authenticode.xmldsig.document import parse_document
from support.formats.random_xml import Maker, seeded
from support.formats.xml_keys import KEYS, xmlsec_key

_TRANSFORMS = {
    Canonicalization.INCLUSIVE: xmlsec.constants.TransformInclC14N,
    Canonicalization.EXCLUSIVE: xmlsec.constants.TransformExclC14N,
}
_DSIG = "{http://www.w3.org/2000/09/xmldsig#}"


@pytest.mark.parametrize("method", Canonicalization)
def test_documents_have_the_canonical_form_that_libxml2_gives_them(method: Canonicalization) -> None:
    for seed in range(250):
        text = Maker(seeded(seed)).document(4).encode()
        tree = etree.fromstring(text).getroottree()
        expected = etree.tostring(
            tree, method="c14n", exclusive=method.is_exclusive, with_comments=method.with_comments
        )
        assert canonicalize(parse_document(text), method) == expected, text


@pytest.mark.parametrize("method", _TRANSFORMS)
def test_elements_have_the_digest_that_libxmlsec_gives_them(method: Canonicalization) -> None:
    compared = 0
    for seed in range(250):
        maker = Maker(seeded(seed))
        holder = etree.fromstring(f"<holder>{maker.element({}, 4)}</holder>".encode())
        if not maker.identifiers:
            continue
        template = xmlsec.template.create(
            holder, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256
        )
        for identifier in maker.identifiers:
            reference = xmlsec.template.add_reference(template, xmlsec.constants.TransformSha256, uri=f"#{identifier}")
            xmlsec.template.add_transform(reference, _TRANSFORMS[method])
        holder.append(template)
        xmlsec.tree.add_ids(holder, ["Id"])
        signing = xmlsec.SignatureContext()
        signing.key = xmlsec_key(KEYS["rsa"])
        signing.sign(template)
        document = parse_document(etree.tostring(holder, encoding="utf-8"))
        for identifier, value in zip(maker.identifiers, template.iter(f"{_DSIG}DigestValue"), strict=True):
            canonical = canonicalize(document.identified[identifier], method)
            assert hashlib.sha256(canonical).digest() == base64.b64decode(value.text or ""), canonical
            compared += 1
    assert compared > 200


@pytest.mark.parametrize("method", _TRANSFORMS)
def test_a_document_without_its_signature_has_the_digest_that_libxmlsec_gives_it(method: Canonicalization) -> None:
    for seed in range(60):
        root = etree.fromstring(Maker(seeded(seed)).element({}, 3).encode())
        template = xmlsec.template.create(root, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256)
        reference = xmlsec.template.add_reference(template, xmlsec.constants.TransformSha256, uri="")
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
        xmlsec.template.add_transform(reference, _TRANSFORMS[method])
        root.insert(0, template)
        signing = xmlsec.SignatureContext()
        signing.key = xmlsec_key(KEYS["rsa"])
        signing.sign(template)
        document = parse_document(etree.tostring(root, encoding="utf-8"))
        canonical = canonicalize(document, method, omit=document.root.elements[0])
        expected = template.find(f".//{_DSIG}DigestValue").text
        assert base64.b64encode(hashlib.sha256(canonical).digest()).decode() == expected, canonical


def test_a_namespace_is_escaped_like_any_value() -> None:
    text = b'<a xmlns="http://example.com/?a=1&amp;b=&lt;"/>'
    assert canonicalize(parse_document(text), Canonicalization.INCLUSIVE) == text.replace(b"/>", b"></a>")
