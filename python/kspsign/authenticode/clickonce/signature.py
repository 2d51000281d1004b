"""The two signatures of a manifest as they are read: the strong name, and in its key information the publisher's."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.authenticode.clickonce.identity import PublisherName, key_hash, public_key_token
from kspsign.authenticode.clickonce.license import License, read_license
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
from kspsign.authenticode.clickonce.timestamps import EmbeddedTimestamp, read_timestamp
from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.authenticode.xmldsig.algorithms import ENVELOPED
from kspsign.authenticode.xmldsig.canonical import Canonicalization
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.authenticode.xmldsig.file_signature import XmlFileSignature
from kspsign.authenticode.xmldsig.key_info import RsaKeyValue, rsa_key_value
from kspsign.authenticode.xmldsig.signature import Reference, XmlSignature, canonical_digest, read_xml_signature
from kspsign.authenticode.xmldsig.structure import XmlFields, malformed, text_of
from kspsign.certificates.parse import parse_certificate, to_der
from kspsign.certificates.windows_name import difference
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm

_TRANSFORMS = (ENVELOPED, Canonicalization.EXCLUSIVE)
_LINE = 64


@dataclass(frozen=True, slots=True)
class ManifestSignature(XmlFileSignature):
    """What a manifest's signature says; see FileSignature. The signer is the licence's: it has the certificates.

    `publisher` is the manifest's publisherIdentity.
    """

    strong_name: XmlSignature
    authenticode: XmlSignature
    license: License
    timestamp: EmbeddedTimestamp
    certificate: bytes | None
    publisher: PublisherName

    @property
    def algorithm(self) -> DigestAlgorithm:
        """Of the manifest's digest, in strong name and licence."""
        return self.strong_reference.algorithm

    @property
    def file_digest(self) -> bytes:
        """The one that the licence grants."""
        return self.license.grant.digest

    @property
    def strong_reference(self) -> Reference:
        """What the strong name says of the manifest."""
        return self.strong_name.signed_info.references[0]

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Those of the publisher's signature, and of the authority of an old timestamp."""
        return (*self.authenticode.key_info.certificates, *self.timestamp.certificates)

    @property
    def value(self) -> bytes:
        """The publisher's, which a timestamp covers."""
        return self.authenticode.value

    @property
    def companion_value(self) -> bytes:
        """The strong name's."""
        return self.strong_name.value

    @property
    def signer_digest_algorithm(self) -> DigestAlgorithm | None:
        """Of the publisher's signature."""
        return self.authenticode.signed_info.method.algorithm

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """RFC 3161 tokens."""
        return self.timestamp.tokens

    @property
    def counter_signatures(self) -> tuple[bytes, ...]:
        """Of timestamps before RFC 3161."""
        return self.timestamp.counter_signatures

    @property
    def program_name(self) -> str | None:
        """The description in the licence."""
        return self.license.grant.description or None

    @property
    def program_url(self) -> str | None:
        """The address in the licence."""
        return self.license.grant.url or None

    @property
    def fault(self) -> str | None:
        """Why its parts do not go together."""
        algorithms = {
            self.algorithm,
            self.strong_name.signed_info.method.algorithm,
            self.authenticode.signed_info.method.algorithm,
            self.authenticode.signed_info.references[0].algorithm,
        }
        if len(algorithms) > 1 or len(self.file_digest) != len(self.strong_reference.digest):
            return "strong name and licence have several digest algorithms"
        return None

    def content_fault(self) -> str | None:
        """Why the publisher's signature is not over this licence."""
        reference = self.authenticode.signed_info.references[0]
        actual = canonical_digest(
            self.license.element, Canonicalization.EXCLUSIVE, reference.algorithm, omit=self.authenticode.element
        )
        return None if actual == reference.digest else "the publisher's signature is over another licence"

    def signer_fault(self) -> str | None:
        """Why the publisher's signature is not valid under the signer's certificate."""
        return self.authenticode.signer_fault(self.certificate)

    def strong_name_fault(self) -> str | None:
        """Why the strong name is not made by the publisher's key."""
        stated, signed = self.strong_name.key_info.key_value, self.strong_name.signed_info
        if stated is None or stated != self.authenticode.key_info.key_value:
            return "strong name and publisher's signature state different keys"
        key = _public_key(stated)
        if key is None or not signature_holds(
            key, self.strong_name.value, signed.digest(), signed.method.algorithm, signed.method.scheme
        ):
            return "its value does not match its key"
        return None

    def token(self) -> str | None:
        """The public key token of the strong name's key; None when that is not a key."""
        key = None if self.strong_name.key_info.key_value is None else _public_key(self.strong_name.key_info.key_value)
        return None if key is None else public_key_token(key)

    def publisher_fault(self, issuer: x509.Certificate) -> str | None:
        """Why the publisher that manifest and licence name is not the signer, whom `issuer` issued its certificate."""
        if self.certificate is None:
            return "there is no certificate to compare with"
        subject = parse_certificate(self.certificate).subject
        different = difference(self.publisher.name, subject) or difference(self.license.grant.subject, subject)
        if different is not None:
            return different
        actual = key_hash(to_der(issuer))
        stated = self.publisher.issuer_key_hash
        if stated != actual:
            return f"the manifest names an issuer with the key {stated}, the certificate's has {actual}"
        return None


def read_signature(publisher: XmlNode, signature: XmlNode) -> ManifestSignature:
    """The signature that the elements `publisherIdentity` and `Signature` are.

    Raises TrustError: TRUST_E_MALFORMED_SIGNATURE for parts that are not of the closed list, NTE_BAD_ALGID for unknown
    algorithms.
    """
    strong_name = _enveloped(signature, STRONG_NAME, further_key_info=True)
    license_ = _license(strong_name)
    authenticode = _enveloped(license_.signature, AUTHENTICODE_SIGNATURE)
    if strong_name.objects or len(authenticode.objects) > 1:
        raise malformed("it has an Object that it may not have")
    stamp = EmbeddedTimestamp()
    if authenticode.objects:
        stamp = read_timestamp(_stamp(authenticode.objects[0]), authenticode.value)
    certificate = _signer(authenticode)
    return ManifestSignature(strong_name, authenticode, license_, stamp, certificate, read_publisher(publisher))


def read_publisher(found: XmlNode) -> PublisherName:
    """The publisher that a publisherIdentity names. Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) for another
    element, and for one that says more or less."""
    if not found.is_named(ASM_V2, "publisherIdentity"):
        raise malformed(f"{found.name} is not a publisherIdentity")
    XmlFields(found, ("name", "issuerKeyHash")).end()
    name, issuer_key_hash = found.get("name"), found.get("issuerKeyHash")
    if not name or not issuer_key_hash:
        raise malformed("publisherIdentity does not name publisher and issuer's key")
    return PublisherName(name, issuer_key_hash)


def _enveloped(element: XmlNode, identifier: str, *, further_key_info: bool = False) -> XmlSignature:
    """A signature over the whole document that it is in but itself, in exclusive canonical form, and nothing else."""
    found = read_xml_signature(element, DIALECT, further_key_info=further_key_info)
    if element.get("Id") != identifier:
        raise malformed(f'a signature has the Id "{element.get("Id")}", not {identifier}')
    if found.signed_info.canonicalization is not Canonicalization.EXCLUSIVE:
        raise malformed("its SignedInfo is canonicalised in another way than Windows does")
    references = found.signed_info.references
    if len(references) != 1 or (references[0].uri, references[0].kind) != ("", ""):
        raise malformed("it refers to other things than the document that it is in")
    transforms = references[0].transforms
    if tuple(step.algorithm for step in transforms) != _TRANSFORMS or any(step.parameters for step in transforms):
        raise malformed("its transforms are not those of an enveloped signature in exclusive canonical form")
    return found


def _license(strong_name: XmlSignature) -> License:
    others = strong_name.key_info.others
    key_info = next(child for child in strong_name.element.elements if child.name == "KeyInfo")
    if key_info.get("Id") != STRONG_NAME_KEY or strong_name.key_info.certificates:
        raise malformed(f"the strong name's key information is not {STRONG_NAME_KEY}")
    if len(others) != 1 or not others[0].is_named(REL_DATA, "RelData"):
        raise malformed("it has a strong name alone: no publisher signed it")
    data = XmlFields(others[0])
    found = read_license(data.take("license", LICENSE))
    data.end()
    return found


def _stamp(element: XmlNode) -> bytes:
    """The timestamp in an Object: its base64 is on one line, or as Windows breaks that of old timestamps."""
    fields = XmlFields(element)
    found = text_of(fields.take("Timestamp", AUTHENTICODE))
    fields.end()
    try:
        stamp = base64.b64decode("".join(found.split("\n")), validate=True)
    except (binascii.Error, ValueError) as broken:
        raise malformed("its timestamp is not in base64") from broken
    line = base64.b64encode(stamp).decode()
    if found not in {line, "".join(f"{line[at : at + _LINE]}\n" for at in range(0, len(line), _LINE))}:
        raise malformed("its timestamp is in base64 that nothing writes so")
    return stamp


def _signer(authenticode: XmlSignature) -> bytes | None:
    """The certificate of the key that the signature states: of no other one is the publisher's signature."""
    stated = authenticode.key_info.key_value
    for certificate in authenticode.key_info.certificates:
        key = _rsa_key(certificate)
        if key is not None and rsa_key_value(key) == stated:
            return certificate
    return None


def _rsa_key(certificate: bytes) -> rsa.RSAPublicKey | None:
    try:
        key = parse_certificate(certificate).public_key()
    except (TrustError, ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPublicKey) else None


def _public_key(stated: RsaKeyValue) -> rsa.RSAPublicKey | None:
    try:
        numbers = rsa.RSAPublicNumbers(int.from_bytes(stated.exponent), int.from_bytes(stated.modulus))
        key = numbers.public_key()
    except ValueError:
        return None
    return key if rsa_key_value(key) == stated else None
