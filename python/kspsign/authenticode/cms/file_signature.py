"""What a signature of a file says: the digest it covers, and its signer's own attributes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kspsign.authenticode.cms import der, oids
from kspsign.authenticode.cms.profile import Covered, SignatureProfile
from kspsign.authenticode.cms.read import read_signed_message, read_signer
from kspsign.authenticode.cms.signature import SignedMessage, find_signer
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding


@dataclass(frozen=True, slots=True)
class FileSignature:
    """A signature of a file: `kind` and `value` are the format's OID and structure, `certificate` the signer's (DER)
    or None when missing.

    `tokens` and `counter_signatures` are its timestamps, `nested` further signatures (DER ContentInfo each), and
    `countersigners` those who signed its value. `sharing` are the signers' certificates of other signatures in the
    same message, whose set of certificates is one. `fault` says how its parts contradict each other.
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
    fault: str | None = None
    countersigners: tuple[FileSignature, ...] = ()
    sharing: tuple[bytes, ...] = ()


def read_signature(data: bytes, profile: SignatureProfile) -> FileSignature:
    """The signature in the DER ContentInfo, of a format with `profile`.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when the content is not the profile's,
    and (NTE_BAD_ALGID, check "algorithms") when its digest algorithm is unknown.
    """
    message = read_signed_message(data)
    if message.content_type != profile.content_type:
        raise TrustError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
            f"the content is {message.content_type}, not {profile.content_type}",
            check="cms-structure",
        )
    covered = profile.covered(message)
    if covered.algorithm is None:
        raise TrustError(Hresult.NTE_BAD_ALGID, "the file digest's algorithm is unknown", check="algorithms")
    unsigned = message.signer.unsigned_attributes
    counter = unsigned.get(oids.OID_COUNTER_SIGNATURE, ())
    signature = FileSignature(
        message=message,
        kind=covered.kind,
        value=covered.value,
        algorithm=covered.algorithm,
        digest=covered.digest,
        certificate=find_signer(message.signer, message.certificates),
        tokens=unsigned.get(profile.token_attribute, ()),
        counter_signatures=() if profile.countersigned else counter,
        nested=unsigned.get(oids.OID_SPC_NESTED_SIGNATURE, ()),
        program_name=_program_name(message),
        fault=_fault(message, covered, profile),
    )
    if not profile.countersigned:
        return signature
    countersigners = _countersigners(signature, profile, counter)
    sharing = tuple(each.certificate for each in countersigners if each.certificate is not None)
    return replace(signature, countersigners=countersigners, sharing=sharing)


def nth(index: int, finding: Finding) -> Finding:
    """A finding on the signature at `index`: the names of checks on all but the first end in its number."""
    return replace(finding, check=f"{finding.check}#{index + 1}") if index else finding


def _fault(message: SignedMessage, covered: Covered, profile: SignatureProfile) -> str | None:
    versions = (message.version, message.signer.version)
    if versions not in profile.versions:
        return f"versions {versions[0]} and {versions[1]}, which do not go together in this format"
    if message.digest_algorithms != (message.signer.digest,) or message.signer.digest is not covered.algorithm:
        return "the digest algorithms of file, signer and message differ"
    return None


def _countersigners(
    signature: FileSignature, profile: SignatureProfile, signers: tuple[bytes, ...]
) -> tuple[FileSignature, ...]:
    """The signature over the value of `signature` (RFC 5652 §11.4); its certificates are among that one's."""
    if len(signers) > 1:
        raise TrustError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE, "it has several counter-signatures", check="cms-structure"
        )
    found = []
    for each in signers:
        signer = read_signer(each)
        message = replace(
            signature.message, content_type="", content=signature.message.signer.value, content_der=b"", signer=signer
        )
        found.append(
            replace(
                signature,
                message=message,
                certificate=find_signer(signer, message.certificates),
                tokens=signer.unsigned_attributes.get(profile.token_attribute, ()),
                nested=(),
                fault=None,
                sharing=() if signature.certificate is None else (signature.certificate,),
            )
        )
    return tuple(found)


def _program_name(message: SignedMessage) -> str | None:
    """The name in an SpcSpOpusInfo: [0] EXPLICIT SpcString, which is [0] BMPString or [1] IA5String."""
    values = message.signer.signed_attributes.get(oids.OID_SPC_OPUS_INFO)
    if not values:
        return None
    name = der.parse(values[0]).fields().optional(0xA0)
    if name is None:
        return None
    text = name.fields().take(0x80, 0x81)
    return text.content.decode("utf-16-be" if text.tag == 0x80 else "latin-1", "replace")
