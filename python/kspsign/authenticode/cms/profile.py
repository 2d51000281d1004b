"""What the signatures of a family of formats have in common: content type, attributes, where the timestamp hangs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kspsign.authenticode.cms import der
from kspsign.authenticode.cms.algorithms import digest_algorithm
from kspsign.authenticode.cms.oids import (
    OID_SPC_INDIRECT_DATA,
    OID_SPC_INDIVIDUAL,
    OID_SPC_OPUS_INFO,
    OID_SPC_STATEMENT_TYPE,
    OID_SPC_TIMESTAMP,
)
from kspsign.authenticode.cms.signature import SignedMessage
from kspsign.model.values import DigestAlgorithm


@dataclass(frozen=True, slots=True)
class SigningTerms:
    """How files are to be signed, the same for every file of a run.

    `chain` is DER, the signer's certificate first. `append` adds a signature to those that are there, `page_hashes`
    asks for a hash of each page of an image. `moment` is the signing time of those formats that state one: the same
    for all files of a run, so that what is signed is made of the same bytes when it is tried again.
    """

    algorithm: DigestAlgorithm
    chain: tuple[bytes, ...]
    append: bool = False
    page_hashes: bool = False
    description: str | None = None
    description_url: str | None = None
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Covered:
    """What a signature says it covers: `kind` is the format's OID and `value` the DER of its own structure (empty
    when there is none), `digest` the file's digest; `algorithm` None is one that we don't know."""

    kind: str
    value: bytes
    algorithm: DigestAlgorithm | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class SignatureProfile:
    """`attributes` gives the signed attributes besides content type and message digest, as DER values by OID.

    `covered` reads what a signature's content says and raises TrustError when that is malformed. `nests` is whether a
    further signature hangs on the first (SPC_NESTED_SIGNATURE) or stands beside it.
    `versions` are those of message and signer that go together. `countersigned` says that a counter-signature
    (RFC 5652 §11.4) is a further signer's own signature; in Authenticode it is a timestamp.
    """

    content_type: str
    token_attribute: str
    attributes: Callable[[SigningTerms], Mapping[str, bytes]]
    covered: Callable[[SignedMessage], Covered]
    nests: bool = True
    versions: frozenset[tuple[int, int]] = frozenset({(1, 1)})
    countersigned: bool = False


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


def _indirect_data(message: SignedMessage) -> Covered:
    fields = der.parse(message.content_der).fields()
    data, info = fields.take(der.SEQUENCE).children(), fields.take(der.SEQUENCE).fields()
    fields.end()
    algorithm, digest = info.take(der.SEQUENCE), info.take(der.OCTET_STRING)
    info.end()
    if not 1 <= len(data) <= 2:
        raise der.malformed(f"{len(data)} fields say what is covered")
    value = data[1].der if len(data) == 2 else b""
    return Covered(der.oid_of(data[0]), value, digest_algorithm(algorithm.der), digest.content)


AUTHENTICODE = SignatureProfile(OID_SPC_INDIRECT_DATA, OID_SPC_TIMESTAMP, _authenticode_attributes, _indirect_data)
"""Every format whose signature holds an SpcIndirectDataContent (Windows Authenticode PE Signature Format)."""
