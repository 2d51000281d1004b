"""The profile of every format whose signatures are CMS, and Authenticode's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kspsign.authenticode.cms.algorithms import digest_algorithm
from kspsign.authenticode.cms.file_signature import CmsSignature, read_signature
from kspsign.authenticode.cms.oids import (
    OID_SPC_CAB_DATA,
    OID_SPC_INDIRECT_DATA,
    OID_SPC_INDIVIDUAL,
    OID_SPC_OPUS_INFO,
    OID_SPC_PE_IMAGE_DATA,
    OID_SPC_SIP_INFO,
    OID_SPC_STATEMENT_TYPE,
    OID_SPC_TIMESTAMP,
)
from kspsign.authenticode.cms.prepared import restored
from kspsign.authenticode.cms.rules import CmsRules, Covered
from kspsign.authenticode.cms.write import UnsignedMessage, add_nested, add_token, prepare, reduced, replace_nested
from kspsign.authenticode.profile import SigningTerms
from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm


class CmsProfile(CmsRules):
    """See DetachableProfile: signatures are DER ContentInfos (RFC 5652 §3), content is one DER element."""

    __slots__ = ()

    @property
    def is_pkcs7(self) -> bool:
        """They are."""
        return True

    def covering(self, *content_oids: str) -> CmsProfile:
        """The same for a format whose signatures name one of `content_oids` as what they cover."""
        return replace(self, content_oids=frozenset(content_oids))

    def prepare(self, terms: SigningTerms, content: bytes) -> UnsignedMessage:
        """The signed attributes for `content`."""
        return prepare(self, terms, content)

    def restore(
        self, algorithm: DigestAlgorithm, content: bytes, attributes: bytes, certificate: bytes | None
    ) -> UnsignedMessage:
        """See DetachableProfile."""
        return restored(self, algorithm, content, attributes, certificate)

    def add_timestamp(self, signature: bytes, token: bytes) -> bytes:
        """See SignatureProfile."""
        return add_token(signature, token, self)

    def append(self, signatures: Sequence[bytes], signature: bytes) -> tuple[bytes, ...]:
        """See SignatureProfile: in the first one, or after the last."""
        if not signatures or not self.nests:
            return (*signatures, signature)
        first, *others = signatures
        return (add_nested(first, signature), *others)

    def replace_further(self, signature: bytes, further: Sequence[bytes]) -> bytes:
        """See SignatureProfile."""
        return replace_nested(signature, further)

    def reduce(self, signature: bytes, *, certificates: bool, unsigned_attributes: bool) -> bytes:
        """See SignatureProfile."""
        return reduced(signature, certificates=certificates, unsigned_attributes=unsigned_attributes)

    def read(self, signature: bytes) -> CmsSignature:
        """See SignatureProfile."""
        return read_signature(signature, self)


def _authenticode_attributes(terms: SigningTerms) -> Mapping[str, bytes]:
    """Statement type and opus info. No signing time: the timestamp states the time, and SignTool writes none."""
    return {
        OID_SPC_STATEMENT_TYPE: der.sequence(der.oid(OID_SPC_INDIVIDUAL)),
        OID_SPC_OPUS_INFO: _opus_info(terms.description, terms.description_url),
    }


def _opus_info(description: str | None, url: str | None) -> bytes:
    """SpcSpOpusInfo: [0] EXPLICIT SpcString (here [0] BMPString), [1] EXPLICIT SpcLink (here [0] IA5String)."""
    name = der.element(0xA0, der.element(0x80, description.encode("utf-16-be"))) if description else b""
    link = der.element(0xA1, der.element(0x80, url.encode("ascii"))) if url else b""
    return der.sequence(name, link)


def _authenticode_terms(
    algorithm: DigestAlgorithm, stated: Mapping[str, bytes], _certificate: bytes | None
) -> SigningTerms:
    fields = der.parse(stated.get(OID_SPC_OPUS_INFO, b"")).fields()
    name, link = fields.optional(0xA0), fields.optional(0xA1)
    try:
        description = None if name is None else name.fields().take(0x80).content.decode("utf-16-be")
        url = None if link is None else link.fields().take(0x80).content.decode("ascii")
    except UnicodeDecodeError as broken:
        raise der.malformed("a description that is not text") from broken
    return SigningTerms(algorithm, (), description=description, description_url=url)


def _indirect_data(content: bytes, _algorithm: DigestAlgorithm | None) -> Covered:
    fields = der.parse(content).fields()
    data, info = fields.take(der.SEQUENCE).children(), fields.take(der.SEQUENCE).fields()
    fields.end()
    algorithm, digest = info.take(der.SEQUENCE), info.take(der.OCTET_STRING)
    info.end()
    if not 1 <= len(data) <= 2:
        raise der.malformed(f"{len(data)} fields say what is covered")
    value = data[1].der if len(data) == 2 else b""
    return Covered(der.oid_of(data[0]), value, digest_algorithm(algorithm.der), digest.content)


AUTHENTICODE = CmsProfile(
    OID_SPC_INDIRECT_DATA,
    frozenset({OID_SPC_PE_IMAGE_DATA, OID_SPC_CAB_DATA, OID_SPC_SIP_INFO}),
    OID_SPC_TIMESTAMP,
    _authenticode_attributes,
    _indirect_data,
    _authenticode_terms,
)
"""Every format whose signature holds an SpcIndirectDataContent (Windows Authenticode PE Signature Format)."""
