"""The strategy of manifests' signatures. As bytes one is the publisherIdentity followed by the Signature element: the
publisher is part of what is signed, and known only with the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kspsign.authenticode.clickonce.identity import PublisherName, publisher_of, rsa_key_of
from kspsign.authenticode.clickonce.license import Grant, license_markup, read_grant
from kspsign.authenticode.clickonce.names import (
    ASM_V2,
    AUTHENTICODE,
    AUTHENTICODE_SIGNATURE,
    DIALECT,
    LICENSE,
    REL_DATA,
    STRONG_NAME,
    STRONG_NAME_KEY,
)
from kspsign.authenticode.clickonce.signature import ManifestSignature, read_signature
from kspsign.authenticode.clickonce.spans import LocatedDocument, locate, with_edits
from kspsign.authenticode.cms.algorithms import Scheme
from kspsign.authenticode.profile import PreparedSignature, SigningTerms
from kspsign.authenticode.xmldsig.algorithms import DSIG, ENVELOPED, SignatureMethod
from kspsign.authenticode.xmldsig.canonical import Canonicalization
from kspsign.authenticode.xmldsig.document import XmlNode, parse_document
from kspsign.authenticode.xmldsig.key_info import rsa_key_value
from kspsign.authenticode.xmldsig.signature import canonical_digest
from kspsign.authenticode.xmldsig.spelling import is_plain
from kspsign.authenticode.xmldsig.structure import malformed
from kspsign.authenticode.xmldsig.write import (
    Markup,
    ReferenceTo,
    base64_text,
    digest_to_sign,
    element,
    key_value,
    signature_value,
    signed_info,
    x509_data,
)
from kspsign.certificates.parse import outline
from kspsign.model.values import DigestAlgorithm

_EXCLUSIVE: Final = Canonicalization.EXCLUSIVE
_DECLARATIONS: Final = {
    "Signature": {"": DSIG},
    "RelData": {"msrel": REL_DATA},
    "license": {"r": LICENSE, "as": AUTHENTICODE},
    "Timestamp": {"as": AUTHENTICODE},
}
"""The namespaces that .NET declares in a signature, by the element that does: no signature covers a declaration that
nothing uses. That of an identity is compared with the manifest's."""
_WRAPPER = (b"<signed>", b"</signed>")
"""Around the two elements, to read them as one document."""


@dataclass(frozen=True, slots=True)
class UnsignedManifest:
    """The signatures of one manifest without their values; see PairedSignature. `publisher` is the publisherIdentity,
    `grant` what the licence says, `strong_value` the strong name's once it is there."""

    algorithm: DigestAlgorithm
    publisher: Markup
    grant: Grant
    strong_value: bytes = b""

    @property
    def digest(self) -> bytes:
        """Of the publisher's signature, which the licence has."""
        return digest_to_sign(self._authenticode, _EXCLUSIVE, self.algorithm)

    @property
    def companion(self) -> bytes:
        """Of the strong name."""
        return digest_to_sign(self._strong_name, _EXCLUSIVE, self.algorithm)

    def paired(self, value: bytes) -> UnsignedManifest:
        """With the strong name's value."""
        return replace(self, strong_value=value)

    def assemble(self, value: bytes, chain: Sequence[bytes], *, token: bytes | None) -> bytes:
        """See PreparedSignature. A root is left out of the certificates, as .NET does."""
        key = key_value(rsa_key_value(rsa_key_of(chain[0])))
        kept = [der for der in chain if der == chain[0] or outline(der).issuer != outline(der).subject]
        authenticode = element(
            "Signature",
            {"xmlns": DSIG, "Id": AUTHENTICODE_SIGNATURE},
            *(self._authenticode, signature_value(value, chain[0])),
            element("KeyInfo", None, key, x509_data(kept)),
            *([] if token is None else [_timestamp(token)]),
        )
        rel_data = element("msrel:RelData", {"xmlns:msrel": REL_DATA}, license_markup(self.grant, authenticode))
        strong_name = element(
            "Signature",
            {"xmlns": DSIG, "Id": STRONG_NAME},
            *(self._strong_name, signature_value(self.strong_value, chain[0])),
            element("KeyInfo", {"Id": STRONG_NAME_KEY}, key, rel_data),
        )
        return f"{self.publisher}{strong_name}".encode()

    @property
    def _authenticode(self) -> Markup:
        root = parse_document(license_markup(self.grant).encode()).root
        return self._signed_info(canonical_digest(root, _EXCLUSIVE, self.algorithm))

    @property
    def _strong_name(self) -> Markup:
        return self._signed_info(self.grant.digest)

    def _signed_info(self, digest: bytes) -> Markup:
        method = SignatureMethod(Scheme.RSA, self.algorithm)
        to = ReferenceTo("", digest, self.algorithm, (ENVELOPED, _EXCLUSIVE))
        return signed_info(method, _EXCLUSIVE, [to], DIALECT)


class ManifestProfile:
    """See SignatureProfile; content is the licence that is to be signed."""

    __slots__ = ()

    def prepare(self, terms: SigningTerms, content: bytes) -> PreparedSignature:
        """See SignatureProfile."""
        publisher = publisher_markup(publisher_of(terms.chain))
        return UnsignedManifest(terms.algorithm, publisher, read_grant(parse_document(content).root))

    def add_timestamp(self, signature: bytes, token: bytes) -> bytes:
        """See SignatureProfile: after all else in the publisher's signature."""
        located, read = _read(signature)
        at = located.spans[read.authenticode.element].closing
        return _unwrapped(with_edits(located.data, [(at, at, _timestamp(token).encode())]))

    def append(self, signatures: Sequence[bytes], signature: bytes) -> tuple[bytes, ...]:
        """See SignatureProfile; a file with signatures is not admitted for a further one."""
        return (*signatures, signature)

    def replace_further(self, _signature: bytes, further: Sequence[bytes]) -> bytes:
        """See SignatureProfile: it has none."""
        raise malformed(f"a manifest's signature carries no others, and {len(further)} are to be put into it")

    def reduce(self, signature: bytes, *, certificates: bool, unsigned_attributes: bool) -> bytes:
        """See SignatureProfile."""
        located, read = _read(signature)
        removed = []
        if unsigned_attributes:
            removed += [*read.authenticode.objects]
        if certificates:
            embedded = zip(read.authenticode.key_info.certificates, _certificate_elements(read), strict=True)
            removed += [element for der, element in embedded if der != read.certificate]
        edits = [(located.spans[element].begin, located.spans[element].end, b"") for element in removed]
        return _unwrapped(with_edits(located.data, edits))

    def read(self, signature: bytes) -> ManifestSignature:
        """See SignatureProfile."""
        return _read(signature)[1]


def publisher_markup(publisher: PublisherName) -> Markup:
    """The publisherIdentity that names `publisher`."""
    named = {"name": publisher.name, "issuerKeyHash": publisher.issuer_key_hash}
    return element("publisherIdentity", {"xmlns": ASM_V2, **named})


def _timestamp(token: bytes) -> Markup:
    return element("Object", None, element("as:Timestamp", {"xmlns:as": AUTHENTICODE}, base64_text(token)))


def _read(signature: bytes) -> tuple[LocatedDocument, ManifestSignature]:
    """The signature, each part with its place. Raises what read_signature does."""
    try:
        located = locate(signature.join(_WRAPPER))
    except ValueError as broken:
        raise malformed(str(broken)) from broken
    elements = located.root.elements
    if len(elements) != 2 or len(located.root.children) != 2:
        raise malformed("its manifest names no publisher")
    _check_spelling(located.source(elements[1]))
    return located, read_signature(*elements)


def _check_spelling(signature: bytes) -> None:
    """Raise TrustError for a Signature that has more in its bytes than what is read of it: much of it no signature
    covers. Its lines, if any, end as those of the file do."""
    one_way = signature.count(b"\r\n") in {0, signature.count(b"\n")}
    try:
        document = parse_document(signature)
    except ValueError as broken:
        raise malformed(f"it does not stand alone: {broken}") from broken
    if not one_way or not is_plain(signature.replace(b"\r\n", b"\n"), document):
        raise malformed("it is not spelled as a program writes it")
    for found in document.root.iterate():
        if found.name != "assemblyIdentity" and found.declared.items() - _DECLARATIONS.get(found.name, {}).items():
            raise malformed(f"{found.name} declares a namespace where no program declares it")


def _unwrapped(data: bytes) -> bytes:
    before, after = _WRAPPER
    return data[len(before) : -len(after)]


def _certificate_elements(read: ManifestSignature) -> list[XmlNode]:
    return [found for found in read.authenticode.element.iterate() if found.name == "X509Certificate"]


MANIFEST: Final = ManifestProfile()
