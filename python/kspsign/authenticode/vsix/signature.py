"""The signature of a VSIX package as it is read: an XML document, all of it signed or accounted for."""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.authenticode.vsix.package_object import (
    NAMESPACE,
    OBJECT_ID,
    PackageObject,
    package_digest,
    read_package_object,
)
from kspsign.authenticode.xmldsig.algorithms import DSIG, RSA_ONLY
from kspsign.authenticode.xmldsig.canonical import Canonicalization
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.authenticode.xmldsig.file_signature import XmlFileSignature
from kspsign.authenticode.xmldsig.signature import XmlSignature, canonical_digest, read_xml_signature
from kspsign.authenticode.xmldsig.spelling import is_plain
from kspsign.authenticode.xmldsig.structure import XmlFields, malformed, octets_of, read_document, text_of
from kspsign.model.values import DigestAlgorithm

CANONICALIZATION = Canonicalization.INCLUSIVE
OBJECT_KIND = f"{DSIG}Object"
TIMESTAMP_ID = "idSignatureTimestamp"
_COMMENTS = frozenset({"", "Timestamp got from the time stamp server"})
_SIGNATURE_IDS = frozenset({None, "packageSignature"})
_BEGINNING = frozenset({"SignatureTime", "TimeStamp", "RelationshipReference", "RelationshipsGroupReference"})
_ORDER = ("Id", "URI", "Type", "Target")


@dataclass(frozen=True, slots=True)
class VsixSignature(XmlFileSignature):
    """A signature; see FileSignature. `package` is what it says of the package's parts."""

    xml: XmlSignature
    package: PackageObject
    tokens: tuple[bytes, ...]

    @property
    def algorithm(self) -> DigestAlgorithm:
        """Of the parts' digests."""
        return self.package.algorithm

    @property
    def file_digest(self) -> bytes:
        """The digest of all parts that it signs."""
        return package_digest(self.package.parts, self.package.algorithm)

    @property
    def certificate(self) -> bytes | None:
        """The first one is the signer's, as the readers in .NET take it."""
        return next(iter(self.xml.key_info.certificates), None)

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Those of its X509Data."""
        return self.xml.key_info.certificates

    @property
    def value(self) -> bytes:
        """The signer's."""
        return self.xml.value

    @property
    def signer_digest_algorithm(self) -> DigestAlgorithm | None:
        """Of what is signed."""
        return self.xml.signed_info.method.algorithm

    @property
    def counter_signatures(self) -> tuple[bytes, ...]:
        """None: timestamps are tokens."""
        return ()

    @property
    def program_name(self) -> str | None:
        """None is stated."""
        return None

    @property
    def program_url(self) -> str | None:
        """None is stated."""
        return None

    @property
    def fault(self) -> str | None:
        """Why its parts contradict each other."""
        method = self.xml.signed_info.method
        return None if method.algorithm is self.algorithm else "the digest algorithms of parts and signer differ"

    def content_fault(self) -> str | None:
        """Why what is signed does not speak of the Object."""
        (reference,) = self.xml.signed_info.references
        if canonical_digest(self.xml.objects[0], CANONICALIZATION, reference.algorithm) != reference.digest:
            return "the digest of the Object differs from the signed one"
        return None

    def signer_fault(self) -> str | None:
        """Why the value is not valid under the signer's certificate."""
        return self.xml.signer_fault(self.certificate)


def read_vsix_signature(signature: bytes) -> VsixSignature:
    """The signature in the XML document.

    Raises TrustError: TRUST_E_MALFORMED_SIGNATURE (check "cms-structure") when it is none, or has or is spelled as what
    no program writes; NTE_BAD_ALGID (check "algorithms") for another algorithm.
    """
    document = read_document(signature)
    if not is_plain(signature, document):
        raise malformed("it is spelled in a way that no program writes it: something was put into it")
    _check_spelling(document.root)
    xml = read_xml_signature(document.root, RSA_ONLY)
    if not 1 <= len(xml.objects) <= 2:
        raise malformed(f"it has {len(xml.objects)} objects")
    if xml.key_info.key_value is None and not xml.key_info.certificates:
        raise malformed("it has no certificate: one in a part of its own is not supported")
    _check_reference(xml)
    package = read_package_object(xml.objects[0])
    identifier = xml.element.get("Id")
    if identifier not in _SIGNATURE_IDS or package.target != (f"#{identifier}" if identifier else ""):
        raise malformed("the signing time is a property of something else than the signature")
    return VsixSignature(xml, package, tuple(map(_token, xml.objects[1:])))


def _check_spelling(root: XmlNode) -> None:
    """Raise TrustError for declarations and an order of attributes that no signer writes: canonical XML has them alike.

    A namespace is declared where elements of it begin. Some signers declare that of the signature for the timestamp's
    Object once more.
    """
    stamped = root.elements[-1:] if root.elements and root.elements[-1].name == "Object" else ()
    for found in root.iterate():
        wanted = {"": DSIG if found is root else NAMESPACE} if found is root or found.name in _BEGINNING else {}
        again = {"": DSIG} if found in stamped else wanted
        if found.declared not in (wanted, again):
            raise malformed(f"{found.name} declares a namespace where no program declares it")
        ranks = [_ORDER.index(item.name) for item in found.attributes if item.name in _ORDER]
        if ranks != sorted(ranks):
            raise malformed(f"the attributes of {found.name} are in another order than programs write")


def _check_reference(xml: XmlSignature) -> None:
    """Raise TrustError unless what is signed is the first Object alone, by a reference that readers follow alike."""
    if len(xml.signed_info.references) != 1 or xml.signed_info.canonicalization is not CANONICALIZATION:
        raise malformed("it refers to more than the package's Object, or has another canonical form")
    (reference,) = xml.signed_info.references
    steps = [(step.algorithm, step.parameters) for step in reference.transforms]
    if (reference.uri, reference.kind) != (f"#{OBJECT_ID}", OBJECT_KIND) or steps != [(CANONICALIZATION, ())]:
        raise malformed(f"its reference is not to the package's Object in canonical form: {reference.uri}")


def _token(found: XmlNode) -> bytes:
    """The RFC 3161 token in the Object of a timestamp."""
    outer = XmlFields(found)
    stamp = outer.take("TimeStamp", NAMESPACE)
    outer.end()
    fields = XmlFields(stamp, ("Id",))
    if stamp.get("Id") != TIMESTAMP_ID or text_of(fields.take("Comment", NAMESPACE)) not in _COMMENTS:
        raise malformed("its timestamp has another Id or comment than programs write")
    token = octets_of(fields.take("EncodedTime", NAMESPACE))
    fields.end()
    return token
