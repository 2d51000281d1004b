"""The signatures of NuGet packages (NuGet Package Signatures Technical Specification, and that of
Repository Signatures and Countersignatures): CAdES-BES (RFC 5126) over a text with the package's digest.

The text is "Version:1", an empty line, the digest's OID with "-Hash:" and the digest in base64, and an empty line.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC

from kspsign.authenticode.cms.algorithms import DIGEST_OIDS, algorithm_identifier
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import (
    OID_DATA,
    OID_SIGNING_CERTIFICATE,
    OID_SIGNING_CERTIFICATE_V2,
    OID_SIGNING_TIME,
)
from kspsign.authenticode.cms.profile import CmsProfile
from kspsign.authenticode.cms.rules import Covered
from kspsign.authenticode.cms.timestamp import names_certificate
from kspsign.authenticode.profile import SigningTerms
from kspsign.certificates import der
from kspsign.certificates.parse import outline
from kspsign.model.values import DigestAlgorithm

OID_TIMESTAMP_TOKEN = "1.2.840.113549.1.9.16.2.14"  # noqa: S105 - an OID
_OID_COMMITMENT = "1.2.840.113549.1.9.16.2.16"
_OID_ORIGIN, _OID_RECEIPT = "1.2.840.113549.1.9.16.6.1", "1.2.840.113549.1.9.16.6.2"
_OID_INDEX_URL = "1.3.6.1.4.1.311.84.2.1.1.1"
_OID_OWNERS = "1.3.6.1.4.1.311.84.2.1.1.2"
_IA5_STRING, _DIRECTORY_NAME = 0x16, 0xA4
_FIRST_YEAR_OF_GENERALIZED_TIME = 2050
_VERSION = "Version:1"
_ALGORITHMS = {f"{oid}-Hash": algorithm for algorithm, oid in DIGEST_OIDS.items() if algorithm != DigestAlgorithm.SHA1}


def signature_content(algorithm: DigestAlgorithm, digest: bytes) -> bytes:
    """The DER OCTET STRING that a signature with this digest of the package covers."""
    text = f"{_VERSION}\n\n{DIGEST_OIDS[algorithm]}-Hash:{base64.b64encode(digest).decode()}\n\n"
    return der.octet_string(text.encode())


def author_fault(signature: CmsSignature) -> str | None:
    """Why the signed attributes are not those of a package's signature, None when they are."""
    signer = signature.message.signer
    attributes = signer.signed_attributes
    if OID_SIGNING_CERTIFICATE in attributes or len(attributes.get(OID_SIGNING_CERTIFICATE_V2, ())) != 1:
        return "it does not name its certificate by signing-certificate-v2 alone"
    if signature.certificate is None or not names_certificate(signer, signature.certificate):
        return "its signing-certificate-v2 names another certificate"
    if not _names_issuer(attributes[OID_SIGNING_CERTIFICATE_V2][0], signature.certificate):
        return "its signing-certificate-v2 names another issuer or serial number"
    times = attributes.get(OID_SIGNING_TIME, ())
    if len(times) != 1:
        return "it has no signing time"
    der.time_of(der.parse(times[0], times[0][0]))
    return None


def commitments(signature: CmsSignature) -> frozenset[str]:
    """The role the signer claims: "author" (proof of origin), "repository" (proof of receipt), both or nothing."""
    values = signature.message.signer.signed_attributes.get(_OID_COMMITMENT, ())
    kinds = {der.oid_of(der.parse(value).fields().take(der.OID)) for value in values}
    return frozenset(name for oid, name in ((_OID_ORIGIN, "author"), (_OID_RECEIPT, "repository")) if oid in kinds)


def repository_of(signature: CmsSignature) -> str:
    """The origin a repository's signature claims: its index URL, and the package's owners there; empty when it
    does not say."""
    attributes = signature.message.signer.signed_attributes
    urls = attributes.get(_OID_INDEX_URL, ())
    if len(urls) != 1:
        return ""
    url = der.parse(urls[0], _IA5_STRING).content.decode("ascii", "replace")
    owners = [_text(child) for value in attributes.get(_OID_OWNERS, ()) for child in der.parse(value).children()]
    return f"{url}, owners: {', '.join(owners)}" if owners else url


def _text(owner: der.Element) -> str:
    return owner.content.decode("utf-8", "replace")


def _attributes(terms: SigningTerms) -> Mapping[str, bytes]:
    return {
        OID_SIGNING_TIME: _time(terms),
        OID_SIGNING_CERTIFICATE_V2: _signing_certificate(terms.chain[0], terms.algorithm),
        _OID_COMMITMENT: der.sequence(der.oid(_OID_ORIGIN)),
    }


def _terms(algorithm: DigestAlgorithm, stated: Mapping[str, bytes], certificate: bytes | None) -> SigningTerms:
    time = stated.get(OID_SIGNING_TIME, b"")
    if certificate is None or not time:
        raise der.malformed("there is no signing time, or the certificate is not known")
    return SigningTerms(algorithm, (certificate,), moment=der.time_of(der.parse(time, time[0])))


def _time(terms: SigningTerms) -> bytes:
    """The moment of the run (RFC 5652 §11.3): not the file's own, so that a further try signs the same bytes."""
    moment = terms.moment.astimezone(UTC)
    if moment.year >= _FIRST_YEAR_OF_GENERALIZED_TIME:
        return der.element(der.GENERALIZED_TIME, f"{moment:%Y%m%d%H%M%SZ}".encode())
    return der.element(der.UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())


def _signing_certificate(leaf: bytes, algorithm: DigestAlgorithm) -> bytes:
    """SigningCertificateV2 (RFC 5035 §3) with the leaf alone; SHA-256 is its default, which DER leaves out."""
    named = b"" if algorithm is DigestAlgorithm.SHA256 else algorithm_identifier(algorithm)
    digest = der.octet_string(hashlib.new(algorithm, leaf).digest())
    return der.sequence(der.sequence(der.sequence(named, digest, _issuer_serial(leaf))))


def _names_issuer(attribute: bytes, leaf: bytes) -> bool:
    """Whether the first ESSCertIDv2 (RFC 5035 §4) has the IssuerSerial of the certificate."""
    fields = der.parse(attribute).fields().take(der.SEQUENCE).fields().take(der.SEQUENCE).fields()
    fields.optional(der.SEQUENCE)
    fields.take(der.OCTET_STRING)
    named = fields.optional(der.SEQUENCE)
    fields.end()
    return named is not None and named.der == _issuer_serial(leaf)


def _issuer_serial(leaf: bytes) -> bytes:
    """IssuerSerial: the issuer as the one GeneralName, [4] EXPLICIT Name, and the serial number."""
    issuer = der.sequence(der.element(_DIRECTORY_NAME, outline(leaf).issuer))
    return der.sequence(issuer, outline(leaf).serial)


def _covered(content: bytes, _algorithm: DigestAlgorithm | None) -> Covered:
    """The digest in the text. Each section ends in an empty line; only the first two say something today."""
    lines = der.parse(content, der.OCTET_STRING).content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if lines[:2] != [_VERSION, ""] or lines[-2:] != ["", ""]:
        raise der.malformed("its content is not that of version 1")
    hashes = [line.partition(":") for line in lines[2 : lines.index("", 2)]]
    known = [(_ALGORITHMS[name], value) for name, _, value in hashes if name in _ALGORITHMS]
    if len(known) != 1:
        raise der.malformed("its content does not have exactly one digest of the package")
    algorithm, value = known[0]
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError as broken:
        raise der.malformed("the digest in its content is not base64") from broken
    return Covered(OID_DATA, b"", algorithm, digest)


NUGET = CmsProfile(
    OID_DATA,
    frozenset({OID_DATA}),
    OID_TIMESTAMP_TOKEN,
    _attributes,
    _covered,
    _terms,
    versions=frozenset({(1, 1), (3, 3)}),
    countersigned=True,
)
"""The signatures of NuGet packages."""
