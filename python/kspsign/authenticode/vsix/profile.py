"""The signature of a VSIX package: one XML document, as VSIXSignTool and Microsoft's `sign` write it.

RSA alone: Visual Studio's installer knows no other. The timestamp is an RFC 3161 token over the signature value, in an
Object of its own that nothing signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kspsign.authenticode.cms.algorithms import Scheme
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.vsix.package_object import NAMESPACE, OBJECT_ID, read_package_object
from kspsign.authenticode.vsix.signature import (
    CANONICALIZATION,
    OBJECT_KIND,
    TIMESTAMP_ID,
    VsixSignature,
    read_vsix_signature,
)
from kspsign.authenticode.xmldsig.algorithms import DSIG, RSA_ONLY, SignatureMethod
from kspsign.authenticode.xmldsig.signature import XmlSignature, canonical_digest
from kspsign.authenticode.xmldsig.spelling import spelled
from kspsign.authenticode.xmldsig.structure import malformed
from kspsign.authenticode.xmldsig.write import (
    Markup,
    ReferenceTo,
    base64_text,
    digest_to_sign,
    element,
    in_signature,
    octets_to_sign,
    signature_value,
    signed_info,
    x509_data,
)
from kspsign.model.values import DigestAlgorithm

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True, slots=True)
class PreparedXml:
    """See PreparedParts: `content` is the Object, `attributes` the canonical form of what is signed, SignedInfo."""

    content: bytes
    attributes: bytes
    digest: bytes
    signed: Markup

    def assemble(self, value: bytes, chain: Sequence[bytes], *, token: bytes | None) -> bytes:
        """The whole signature; see PreparedSignature."""
        return _document(
            self.signed,
            signature_value(value, chain[0]),
            element("KeyInfo", None, x509_data(chain)),
            Markup(self.content.decode()),
            *_stamps(token),
        )


@dataclass(frozen=True, slots=True)
class VsixProfile:
    """See SignatureProfile: signatures are XML documents, content is the Object to be signed."""

    is_pkcs7: bool = False

    def prepare(self, terms: SigningTerms, content: bytes) -> PreparedXml:
        """What is signed for the Object `content`."""
        return _prepared(terms.algorithm, content)

    def restore(
        self, algorithm: DigestAlgorithm, content: bytes, attributes: bytes, _certificate: bytes | None
    ) -> PreparedXml:
        """See DetachableProfile."""
        return restored(algorithm, content, attributes)

    def add_timestamp(self, signature: bytes, token: bytes) -> bytes:
        """See SignatureProfile."""
        xml = self.read(signature).xml
        return _rewritten(xml, xml.key_info.certificates, token)

    def append(self, signatures: Sequence[bytes], signature: bytes) -> tuple[bytes, ...]:
        """See SignatureProfile; a package that gets two is refused as it is written."""
        return (*signatures, signature)

    def replace_further(self, signature: bytes, _further: Sequence[bytes]) -> bytes:
        """Never: a signature carries no further ones."""
        self.read(signature)
        raise malformed("a VSIX package has one signature")

    def reduce(self, signature: bytes, *, certificates: bool, unsigned_attributes: bool) -> bytes:
        """See SignatureProfile."""
        found = self.read(signature)
        kept = found.certificates[:1] if certificates else found.certificates
        token = None if unsigned_attributes else next(iter(found.tokens), None)
        return _rewritten(found.xml, kept, token)

    def read(self, signature: bytes) -> VsixSignature:
        """See SignatureProfile."""
        return read_vsix_signature(signature)


VSIX_PROFILE = VsixProfile()


def restored(algorithm: DigestAlgorithm, content: bytes, attributes: bytes) -> PreparedXml:
    """The signature that `prepare` made, of its parts. Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when the
    `content` is not a package's Object in canonical form, or the `attributes` are not what is signed for it."""
    try:
        found = in_signature(Markup(content.decode()))
    except (ValueError, IndexError) as broken:
        raise malformed(f"the content can't be parsed: {broken}") from broken
    read_package_object(found)
    prepared = _prepared(algorithm, content)
    if spelled(found).encode() != content or prepared.attributes != attributes:
        raise malformed("what is signed is not for this content")
    return prepared


def _prepared(algorithm: DigestAlgorithm, content: bytes) -> PreparedXml:
    found = in_signature(Markup(content.decode()))
    digest = canonical_digest(found, CANONICALIZATION, algorithm)
    to = ReferenceTo(f"#{OBJECT_ID}", digest, algorithm, (CANONICALIZATION,), OBJECT_KIND)
    signed = signed_info(SignatureMethod(Scheme.RSA, algorithm), CANONICALIZATION, [to], RSA_ONLY)
    return PreparedXml(
        content, octets_to_sign(signed, CANONICALIZATION), digest_to_sign(signed, CANONICALIZATION, algorithm), signed
    )


def _stamps(token: bytes | None) -> tuple[Markup, ...]:
    if token is None:
        return ()
    inner = (element("Comment"), element("EncodedTime", None, base64_text(token)))
    return (element("Object", None, element("TimeStamp", {"xmlns": NAMESPACE, "Id": TIMESTAMP_ID}, *inner)),)


def _rewritten(xml: XmlSignature, certificates: Sequence[bytes], token: bytes | None) -> bytes:
    """The signature with these certificates and this timestamp; what is signed keeps its canonical form."""
    return _document(
        Markup(spelled(xml.signed_info.element)),
        element("SignatureValue", None, base64_text(xml.value)),
        element("KeyInfo", None, x509_data(certificates)),
        Markup(spelled(xml.objects[0])),
        *_stamps(token),
        identifier=xml.element.get("Id"),
    )


def _document(*parts: Markup, identifier: str | None = None) -> bytes:
    attributes = {"xmlns": DSIG, **({"Id": identifier} if identifier else {})}
    return f"{_DECLARATION}{element('Signature', attributes, *parts)}".encode()
