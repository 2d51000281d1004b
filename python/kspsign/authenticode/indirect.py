"""What an Authenticode signature says: the file digest it covers, and its signer's own attributes."""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.authenticode import asn1
from kspsign.authenticode.algorithms import digest_algorithm
from kspsign.authenticode.signature import SignedMessage, find_signer, guarded, read_signed_message
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm


@dataclass(frozen=True, slots=True)
class AuthenticodeSignature:
    """A signature of a file: `kind` is the format's OID, `certificate` the signer's (DER) or None when missing.

    `tokens` and `counter_signatures` are its timestamps, `nested` further signatures (DER ContentInfo each).
    """

    message: SignedMessage
    kind: str
    algorithm: DigestAlgorithm
    digest: bytes
    certificate: bytes | None
    tokens: tuple[bytes, ...]
    counter_signatures: tuple[bytes, ...]
    nested: tuple[bytes, ...]
    program_name: str | None


def read_signature(der: bytes) -> AuthenticodeSignature:
    """The Authenticode signature in the DER ContentInfo.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when the content is no
    SpcIndirectDataContent, and (NTE_BAD_ALGID, check "algorithms") when its digest algorithm is unknown.
    """
    message = read_signed_message(der)
    if message.content_type != asn1.OID_SPC_INDIRECT_DATA:
        raise TrustError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
            f"the content is {message.content_type}, not Authenticode's",
            check="cms-structure",
        )
    kind, algorithm, digest = guarded(lambda: _indirect_data(message.content_der), "cms-structure")
    if algorithm is None:
        raise TrustError(Hresult.NTE_BAD_ALGID, "the file digest's algorithm is unknown", check="algorithms")
    unsigned = message.signer.unsigned_attributes
    return AuthenticodeSignature(
        message=message,
        kind=kind,
        algorithm=algorithm,
        digest=digest,
        certificate=find_signer(message.signer, message.certificates),
        tokens=unsigned.get(asn1.OID_SPC_TIMESTAMP, ()),
        counter_signatures=unsigned.get(asn1.OID_COUNTER_SIGNATURE, ()),
        nested=unsigned.get(asn1.OID_SPC_NESTED_SIGNATURE, ()),
        program_name=guarded(lambda: _program_name(message), "cms-structure"),
    )


def _indirect_data(der: bytes) -> tuple[str, DigestAlgorithm | None, bytes]:
    content = asn1.SpcIndirectDataContent.load(der, strict=True)
    info = content["message_digest"]
    return (
        content["data"]["type"].dotted,
        digest_algorithm(info["digest_algorithm"]),
        bytes(info["digest"].native),
    )


def _program_name(message: SignedMessage) -> str | None:
    values = message.signer.signed_attributes.get(asn1.OID_SPC_OPUS_INFO)
    if not values:
        return None
    name = asn1.SpcOpusInfo.load(values[0])["program_name"].native
    return None if name is None else str(name)
