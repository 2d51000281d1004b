"""The timestamp in a manifest's signature: an RFC 3161 token, or the answer of a server of before (Microsoft's
Authenticode timestamp protocol), which is a SignedData around the signature value."""

from __future__ import annotations

from typing import NamedTuple

from kspsign.authenticode.cms.oids import OID_DATA
from kspsign.authenticode.cms.read import read_signed_message
from kspsign.authenticode.xmldsig.structure import malformed
from kspsign.certificates import der


class EmbeddedTimestamp(NamedTuple):
    """A timestamp as a FileSignature has it: a token, or a counter-signature with its authority's certificates."""

    tokens: tuple[bytes, ...] = ()
    counter_signatures: tuple[bytes, ...] = ()
    certificates: tuple[bytes, ...] = ()


def read_timestamp(stamp: bytes, value: bytes) -> EmbeddedTimestamp:
    """The timestamp `stamp` (DER) over the signature `value`: a token is not read any further. Raises TrustError
    (TRUST_E_MALFORMED_SIGNATURE) for anything else than a SignedData, and for a SignedData around another value."""
    if _content_type(stamp) != OID_DATA:
        return EmbeddedTimestamp(tokens=(stamp,))
    message = read_signed_message(stamp)
    if message.content != value or message.refused:
        raise malformed("its timestamp is of another signature, or carries more than that")
    signer = _signed_data(stamp).children()[-1].children(1)[0].der
    return EmbeddedTimestamp(counter_signatures=(signer,), certificates=message.certificates)


def _content_type(stamp: bytes) -> str:
    """That of the encapsulated content."""
    fields = _signed_data(stamp).fields()
    fields.take(der.INTEGER)
    fields.take(der.SET)
    return der.oid_of(fields.take(der.SEQUENCE).children()[0])


def _signed_data(stamp: bytes) -> der.Element:
    fields = der.parse(stamp).fields()
    fields.take(der.OID)
    return fields.take(0xA0).first()
