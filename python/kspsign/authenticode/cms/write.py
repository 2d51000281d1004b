"""Building the CMS of a file's signature (RFC 5652 §5; Windows Authenticode PE Signature Format): signed attributes
first, the whole once signature and timestamp are there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.algorithms import algorithm_identifier, signature_identifier
from kspsign.authenticode.cms.rules import CmsRules
from kspsign.authenticode.profile import SigningTerms
from kspsign.certificates import der
from kspsign.certificates.parse import outline, parse_certificate
from kspsign.model.values import DigestAlgorithm

_CERTIFICATES, _SIGNED, _UNSIGNED = 0xA0, 0xA0, 0xA1
_VERSION = der.integer(1)


class UnsignedMessage(NamedTuple):
    """A signature but for its value: the DER content and the attributes to be signed (DER SET OF)."""

    rules: CmsRules
    algorithm: DigestAlgorithm
    content: bytes
    attributes: bytes

    @property
    def digest(self) -> bytes:
        """What the key store signs: the digest of the DER SET OF signed attributes (RFC 5652 §5.4)."""
        return hashlib.new(self.algorithm, self.attributes).digest()

    def assemble(self, value: bytes, chain: Sequence[bytes], *, token: bytes | None) -> bytes:
        """The DER ContentInfo; see PreparedSignature.

        Self-signed certificates are left out, verifiers hold their own; the leaf is always there.
        """
        digest_algorithm = algorithm_identifier(self.algorithm)
        signer = der.sequence(
            _VERSION,
            _issuer_and_serial(chain[0]),
            digest_algorithm,
            der.element(_SIGNED, der.parse(self.attributes, der.SET).content),
            signature_identifier(self.algorithm, is_ec=_is_ec(chain[0])),
            der.octet_string(value),
            b"" if token is None else der.element(_UNSIGNED, _attribute(self.rules.token_attribute, token)),
        )
        signed = der.sequence(
            _VERSION,
            der.set_of(digest_algorithm),
            der.sequence(der.oid(self.rules.content_type), der.element(0xA0, self.content)),
            _certificates(tuple(chain)),
            der.set_of(signer),
        )
        return der.sequence(der.oid(oids.OID_SIGNED_DATA), der.element(0xA0, signed))


def prepare(rules: CmsRules, terms: SigningTerms, content: bytes) -> UnsignedMessage:
    """The signed attributes for `content` (one DER element): content type, message digest and the format's own."""
    message_digest = hashlib.new(terms.algorithm, der.parse(content, content[0]).content).digest()
    values = {
        oids.OID_CONTENT_TYPE: der.oid(rules.content_type),
        oids.OID_MESSAGE_DIGEST: der.octet_string(message_digest),
        **rules.attributes(terms),
    }
    attributes = der.set_of(*(_attribute(kind, value) for kind, value in values.items()))
    return UnsignedMessage(rules, terms.algorithm, content, attributes)


def add_token(signature: bytes, token: bytes, rules: CmsRules) -> bytes:
    """The ContentInfo `signature` with an RFC 3161 token added; everything signed keeps its bytes.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when `signature` is not a ContentInfo with one signer.
    """
    return _with_unsigned(signature, rules.token_attribute, token)


def add_nested(signature: bytes, nested: bytes) -> bytes:
    """The ContentInfo `signature` with a further signature `nested` in it (unsigned attribute ...311.2.4.1).

    Raises like add_token.
    """
    return _with_unsigned(signature, oids.OID_SPC_NESTED_SIGNATURE, nested)


def replace_nested(signature: bytes, nested: Sequence[bytes]) -> bytes:
    """The ContentInfo `signature` with the signatures `nested`, at least one, in place of those that are in it.

    Raises like add_token.
    """
    return _with_unsigned(signature, oids.OID_SPC_NESTED_SIGNATURE, *nested, keep=False)


def reduced(signature: bytes, *, certificates: bool, unsigned_attributes: bool) -> bytes:
    """The ContentInfo `signature` without `certificates` other than the signer's, and without `unsigned_attributes`:
    timestamps, further signatures. What is signed keeps its bytes.

    Raises like add_token.
    """
    info = _fields(der.parse(signature), 2)
    signed = _fields(_fields(info[1], 1)[0], 4)
    fields = _fields(_fields(signed[-1], 1)[0], 6)
    if unsigned_attributes and fields[-1].tag == _UNSIGNED:
        fields = fields[:-1]
    named = fields[1].der
    kept = [
        _signers_own(element, named) if certificates and element.tag == _CERTIFICATES else element.der
        for element in signed[:-1]
    ]
    message = der.sequence(*kept, der.set_of(der.sequence(*(field.der for field in fields))))
    return der.sequence(info[0].der, der.element(0xA0, message))


def _signers_own(certificates: der.Element, named: bytes) -> bytes:
    """The certificates without those that issuer and serial number do not name; all when none is."""
    own = [child.der for child in certificates.children() if _issuer_and_serial(child.der) == named]
    return der.set_of(*own, tag=_CERTIFICATES) if own else certificates.der


def _with_unsigned(signature: bytes, kind: str, *more: bytes, keep: bool = True) -> bytes:
    """`signature` with `more` values of the unsigned attribute `kind`, after those that are there if they are kept."""
    info = _fields(der.parse(signature), 2)
    signed = _fields(_fields(info[1], 1)[0], 4)
    signers = _fields(signed[-1], 1)
    fields = _fields(signers[0], 6)
    kept, values = [], []
    for attribute in fields[-1].children() if fields[-1].tag == _UNSIGNED else ():
        name, present = _fields(attribute, 2)
        if name.der == der.oid(kind):
            values += [child.der for child in present.children()] if keep else []
        else:
            kept.append(attribute.der)
    signer = der.sequence(
        *(field.der for field in fields if field is not fields[-1] or field.tag != _UNSIGNED),
        der.set_of(*kept, _attribute(kind, *values, *more), tag=_UNSIGNED),
    )
    message = der.sequence(*(element.der for element in signed[:-1]), der.set_of(signer))
    return der.sequence(info[0].der, der.element(0xA0, message))


def _fields(element: der.Element, least: int) -> tuple[der.Element, ...]:
    found = element.children()
    if len(found) < least:
        raise der.malformed(f"{len(found)} fields, at least {least} are due")
    return found


def _attribute(kind: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.set_of(*values))


@lru_cache(maxsize=16)
def _issuer_and_serial(leaf: bytes) -> bytes:
    return der.sequence(outline(leaf).issuer, outline(leaf).serial)


@lru_cache(maxsize=16)
def _certificates(chain: tuple[bytes, ...]) -> bytes:
    outlines = ((certificate, outline(certificate)) for certificate in chain[1:])
    kept = (encoded for encoded, outlined in outlines if outlined.issuer != outlined.subject)
    return der.set_of(chain[0], *kept, tag=_CERTIFICATES)


@lru_cache(maxsize=16)
def _is_ec(leaf: bytes) -> bool:
    return isinstance(parse_certificate(leaf).public_key(), ec.EllipticCurvePublicKey)
