"""What a CMS signature of a file says: the digest it covers, and its signer's own attributes."""

from __future__ import annotations

from typing import NamedTuple

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.account import Carries, list_refused
from kspsign.authenticode.cms.read import read_signed_message, read_signer
from kspsign.authenticode.cms.rules import CmsRules, Covered
from kspsign.authenticode.cms.signature import SignedMessage, content_fault, find_signer, signer_fault
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm


class CmsSignature(NamedTuple):
    """One signature of a CMS message; see FileSignature. `content_oid` and `content_value` are the format's OID and
    structure, `further` and `tokens` DER ContentInfos."""

    message: SignedMessage
    content_oid: str
    content_value: bytes
    algorithm: DigestAlgorithm
    file_digest: bytes
    certificate: bytes | None
    tokens: tuple[bytes, ...]
    counter_signatures: tuple[bytes, ...]
    further: tuple[bytes, ...]
    program_name: str | None
    fault: str | None = None
    countersigners: tuple[CmsSignature, ...] = ()
    sharing: tuple[bytes, ...] = ()

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """Those of the message."""
        return self.message.certificates

    @property
    def value(self) -> bytes:
        """The signer's."""
        return self.message.signer.value

    @property
    def signer_digest_algorithm(self) -> DigestAlgorithm | None:
        """Of the signed attributes."""
        return self.message.signer.digest_algorithm

    @property
    def refused(self) -> tuple[str, ...]:
        """What hangs on the signer without being verified."""
        return self.message.signer.refused

    @property
    def program_url(self) -> str | None:
        """The address in an SpcSpOpusInfo: [1] EXPLICIT SpcLink, of which [0] IA5String is one."""
        _, link = _opus_info(self.message)
        url = None if link is None else link.fields().optional(0x80)
        return None if url is None else url.content.decode("latin-1")

    def content_fault(self) -> str | None:
        """Why the signed attributes do not speak of the content."""
        return content_fault(self.message)

    def signer_fault(self) -> str | None:
        """Why the value does not hold under the signer's certificate."""
        return signer_fault(self.message.signer, self.certificate)


def read_signature(data: bytes, rules: CmsRules) -> CmsSignature:
    """The signature in the DER ContentInfo, of a format with these rules.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when the content is not the format's,
    and (NTE_BAD_ALGID, check "algorithms") when its digest algorithm is unknown.
    """
    message = read_signed_message(data, rules.carries)
    if message.content_type != rules.content_type:
        raise TrustError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
            f"the content is {message.content_type}, not {rules.content_type}",
            check="cms-structure",
        )
    covered = rules.covered(message.content_der, message.signer.digest_algorithm)
    if covered.algorithm is None:
        raise TrustError(Hresult.NTE_BAD_ALGID, "the file digest's algorithm is unknown", check="algorithms")
    unsigned = message.signer.unsigned_attributes
    counter = unsigned.get(oids.OID_COUNTER_SIGNATURE, ())
    signature = CmsSignature(
        message=message,
        content_oid=covered.content_oid,
        content_value=covered.content_value,
        algorithm=covered.algorithm,
        file_digest=covered.digest,
        certificate=find_signer(message.signer, message.certificates),
        tokens=unsigned.get(rules.token_attribute, ()),
        counter_signatures=() if rules.countersigned else counter,
        further=unsigned.get(oids.OID_SPC_NESTED_SIGNATURE, ()),
        program_name=_program_name(message),
        fault=_fault(message, covered, rules),
    )
    if not rules.countersigned:
        return signature
    countersigners = _countersigners(signature, rules, counter)
    sharing = tuple(
        countersigner.certificate for countersigner in countersigners if countersigner.certificate is not None
    )
    return signature._replace(countersigners=countersigners, sharing=sharing)


def _fault(message: SignedMessage, covered: Covered, rules: CmsRules) -> str | None:
    versions = (message.version, message.signer.version)
    if versions not in rules.versions:
        return f"versions {versions[0]} and {versions[1]}, which do not go together in this format"
    if message.signer.digest_algorithm is not covered.algorithm:
        return "the digest algorithms of file and signer differ"
    if covered.content_oid not in rules.content_oids:
        return f"it refers to another format ({covered.content_oid})"
    if message.refused:
        return list_refused(message.refused)
    return None


def _countersigners(signature: CmsSignature, rules: CmsRules, signers: tuple[bytes, ...]) -> tuple[CmsSignature, ...]:
    """The signature over the value of `signature` (RFC 5652 §11.4); its certificates are among that one's."""
    found = []
    for candidate in signers:
        signer = read_signer(candidate, Carries({rules.token_attribute: 1}))
        message = signature.message._replace(
            content_type="", content=signature.message.signer.value, content_der=b"", signer=signer
        )
        found.append(
            signature._replace(
                message=message,
                certificate=find_signer(signer, message.certificates),
                tokens=signer.unsigned_attributes.get(rules.token_attribute, ()),
                further=(),
                fault=None,
                sharing=() if signature.certificate is None else (signature.certificate,),
            )
        )
    return tuple(found)


def _program_name(message: SignedMessage) -> str | None:
    """The name in an SpcSpOpusInfo: [0] EXPLICIT SpcString, which is [0] BMPString or [1] IA5String."""
    name, _ = _opus_info(message)
    if name is None:
        return None
    text = name.fields().take(0x80, 0x81)
    return text.content.decode("utf-16-be" if text.tag == 0x80 else "latin-1", "replace")


def _opus_info(message: SignedMessage) -> tuple[der.Element | None, der.Element | None]:
    """The fields of an SpcSpOpusInfo: programName and moreInfo."""
    values = message.signer.signed_attributes.get(oids.OID_SPC_OPUS_INFO)
    if not values:
        return None, None
    fields = der.parse(values[0]).fields()
    return fields.optional(0xA0), fields.optional(0xA1)
