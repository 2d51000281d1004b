"""A signature that was prepared elsewhere: signed attributes are taken only for the content that they speak of."""

from __future__ import annotations

import hashlib

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.account import read_attribute
from kspsign.authenticode.cms.rules import CmsRules
from kspsign.authenticode.cms.write import UnsignedMessage, prepare
from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm


def restored(
    rules: CmsRules, algorithm: DigestAlgorithm, content: bytes, attributes: bytes, certificate: bytes | None
) -> UnsignedMessage:
    """The message that `prepare` made, of its parts (DER) and the certificate of its terms where that is known.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) where `prepare` does not make them of any terms, and for content of
    another format or another digest algorithm.
    """
    if not content or not attributes:
        raise der.malformed("the content or the signed attributes are empty")
    stated = _stated(attributes)
    octets = der.parse(content, content[0]).content
    if stated.get(oids.OID_MESSAGE_DIGEST) != der.octet_string(hashlib.new(algorithm, octets).digest()):
        raise der.malformed("the signed attributes are those of another content")
    if stated.get(oids.OID_CONTENT_TYPE) != der.oid(rules.content_type):
        raise der.malformed("the signed attributes are those of another kind of signature")
    covered = rules.covered(content, algorithm)
    if covered.algorithm is not algorithm:
        raise der.malformed("the digest algorithms of content and signed attributes differ")
    if covered.content_oid not in rules.content_oids:
        raise der.malformed(f"the content is that of another format ({covered.content_oid})")
    made = prepare(rules, rules.terms(algorithm, stated, certificate), content)
    if made.attributes != attributes:
        raise der.malformed("the signed attributes are not those that are written here")
    return made


def _stated(attributes: bytes) -> dict[str, bytes]:
    """The value (DER) of each of the signed attributes, which have one each."""
    stated: dict[str, bytes] = {}
    for attribute in der.parse(attributes, der.SET).children():
        kind, values = read_attribute(attribute)
        if kind in stated or len(values) != 1:
            raise der.malformed(f"the signed attribute {kind} does not occur once with one value")
        stated[kind] = values[0]
    return stated
