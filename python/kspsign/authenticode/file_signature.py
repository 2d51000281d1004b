"""What a signature of a file says: the digest it covers, and its signer's own attributes."""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.authenticode import asn1
from kspsign.authenticode.profile import SignatureProfile
from kspsign.authenticode.signature import SignedMessage, find_signer, guarded, read_signed_message
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm


@dataclass(frozen=True, slots=True)
class FileSignature:
    """A signature of a file: `kind` and `value` are the format's OID and structure, `certificate` the signer's (DER)
    or None when missing.

    `tokens` and `counter_signatures` are its timestamps, `nested` further signatures (DER ContentInfo each).
    """

    message: SignedMessage
    kind: str
    value: bytes
    algorithm: DigestAlgorithm
    digest: bytes
    certificate: bytes | None
    tokens: tuple[bytes, ...]
    counter_signatures: tuple[bytes, ...]
    nested: tuple[bytes, ...]
    program_name: str | None


def read_signature(der: bytes, profile: SignatureProfile) -> FileSignature:
    """The signature in the DER ContentInfo, of a format with `profile`.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when the content is not the profile's,
    and (NTE_BAD_ALGID, check "algorithms") when its digest algorithm is unknown.
    """
    message = read_signed_message(der)
    if message.content_type != profile.content_type:
        raise TrustError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
            f"the content is {message.content_type}, not {profile.content_type}",
            check="cms-structure",
        )
    covered = guarded(lambda: profile.covered(message), "cms-structure")
    if covered.algorithm is None:
        raise TrustError(Hresult.NTE_BAD_ALGID, "the file digest's algorithm is unknown", check="algorithms")
    unsigned = message.signer.unsigned_attributes
    return FileSignature(
        message=message,
        kind=covered.kind,
        value=covered.value,
        algorithm=covered.algorithm,
        digest=covered.digest,
        certificate=find_signer(message.signer, message.certificates),
        tokens=unsigned.get(profile.token_attribute, ()),
        counter_signatures=unsigned.get(asn1.OID_COUNTER_SIGNATURE, ()),
        nested=unsigned.get(asn1.OID_SPC_NESTED_SIGNATURE, ()),
        program_name=guarded(lambda: _program_name(message), "cms-structure"),
    )


def _program_name(message: SignedMessage) -> str | None:
    values = message.signer.signed_attributes.get(asn1.OID_SPC_OPUS_INFO)
    if not values:
        return None
    name = asn1.SpcOpusInfo.load(values[0])["program_name"].native
    return None if name is None else str(name)
