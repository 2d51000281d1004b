"""A signature that was prepared elsewhere: signed attributes are taken only for the content that they speak of."""

from __future__ import annotations

import hashlib

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.account import read_attribute
from kspsign.authenticode.cms.rules import CmsRules
from kspsign.authenticode.cms.write import UnsignedMessage
from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm


def check_attributes(algorithm: DigestAlgorithm, content: bytes, attributes: bytes) -> bytes:
    """The content type (DER) that the DER SET OF signed `attributes` states, once they state the digest of `content`.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they do not, or when either is not DER (RFC 5652 §5.4, §11).
    """
    stated: dict[str, tuple[bytes, ...]] = {}
    for attribute in der.parse(attributes, der.SET).children():
        kind, values = read_attribute(attribute)
        if kind in stated:
            raise der.malformed(f"the signed attribute {kind} occurs twice")
        stated[kind] = values
    if der.set_of(*(child.der for child in der.parse(attributes, der.SET).children())) != attributes:
        raise der.malformed("the signed attributes are not in DER order")
    octets = der.parse(content, content[0] if content else der.SEQUENCE).content
    if stated.get(oids.OID_MESSAGE_DIGEST) != (der.octet_string(hashlib.new(algorithm, octets).digest()),):
        raise der.malformed("the signed attributes are those of another content")
    types = stated.get(oids.OID_CONTENT_TYPE, ())
    if len(types) != 1:
        raise der.malformed("the signed attributes state no content type")
    return types[0]


def restored(rules: CmsRules, algorithm: DigestAlgorithm, content: bytes, attributes: bytes) -> UnsignedMessage:
    """The message that `prepare` made, of its parts. Raises what check_attributes does, and for attributes or content
    of another kind of signature or another digest algorithm."""
    if check_attributes(algorithm, content, attributes) != der.oid(rules.content_type):
        raise der.malformed("the signed attributes are those of another kind of signature")
    covered = rules.covered(content, algorithm)
    if covered.algorithm is not algorithm:
        raise der.malformed("the digest algorithms of content and signed attributes differ")
    if covered.content_oid not in rules.content_oids:
        raise der.malformed(f"the content is that of another format ({covered.content_oid})")
    return UnsignedMessage(rules, algorithm, content, attributes)
