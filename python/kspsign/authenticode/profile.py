"""The seam between a format and its signatures: how one is created, completed and read, whatever its encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeVar, runtime_checkable

from cryptography import x509

from kspsign.model.values import DigestAlgorithm

SignatureT_co = TypeVar("SignatureT_co", bound="FileSignature", covariant=True)


@dataclass(frozen=True, slots=True)
class SigningTerms:
    """How files are to be signed, the same for every file of a run; a format uses the terms that apply to it.

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


class PreparedSignature(Protocol):
    """A signature without its value, made for one file."""

    @property
    def digest(self) -> bytes:
        """The digest that the key store signs."""

    def assemble(self, value: bytes, chain: Sequence[bytes], *, token: bytes | None) -> bytes:
        """The whole signature, as it is embedded.

        `value` is the key store's signature of `digest` (RSA PKCS#1 v1.5, or ECDSA as DER), `chain` the DER
        certificates that belong to it, leaf first, and `token` an RFC 3161 token over `value`.
        """


class FileSignature(Protocol):
    """One signature of a file as it was read: what it covers, who made it, and what else it carries.

    `algorithm` and `file_digest` are what it says of the file. `certificate` is the signer's (DER), None when it is
    missing, `certificates` are all that it carries. `value` is the bare signature value, which timestamps cover, and
    `signer_digest_algorithm` that of what the value was made over; None is one that we don't know.
    `tokens` (RFC 3161) and `counter_signatures` (PKCS#9; their authority's certificates are among `certificates`) are
    its timestamps. `further` are signatures that it carries, each to be read by the same profile; `countersigners`
    signed its value, and `sharing` are the certificates of those who share `certificates` with it.
    `refused` names what it carries that is neither signed nor verified in its own right; `fault` says how its parts
    contradict each other.
    """

    @property
    def algorithm(self) -> DigestAlgorithm: ...
    @property
    def file_digest(self) -> bytes: ...
    @property
    def certificate(self) -> bytes | None: ...
    @property
    def certificates(self) -> tuple[bytes, ...]: ...
    @property
    def value(self) -> bytes: ...
    @property
    def signer_digest_algorithm(self) -> DigestAlgorithm | None: ...
    @property
    def tokens(self) -> tuple[bytes, ...]: ...
    @property
    def counter_signatures(self) -> tuple[bytes, ...]: ...
    @property
    def further(self) -> tuple[bytes, ...]: ...
    @property
    def countersigners(self) -> Sequence[FileSignature]: ...
    @property
    def sharing(self) -> tuple[bytes, ...]: ...
    @property
    def refused(self) -> tuple[str, ...]: ...
    @property
    def program_name(self) -> str | None: ...
    @property
    def program_url(self) -> str | None: ...
    @property
    def fault(self) -> str | None: ...

    def content_fault(self) -> str | None:
        """Why the signed attributes do not match the content, None when they do."""

    def signer_fault(self) -> str | None:
        """Why the signature value is not valid under the signer's certificate, None when it is."""


class SignatureProfile(Protocol[SignatureT_co]):
    """The strategy of a format's signatures. Signatures are bytes, as they are embedded in the file."""

    def prepare(self, terms: SigningTerms, content: bytes) -> PreparedSignature:
        """The signature for `content`, which the format made for these terms."""

    def add_timestamp(self, signature: bytes, token: bytes) -> bytes:
        """`signature` with an RFC 3161 token added; everything signed keeps its bytes.

        Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when it is not a signature of this kind.
        """

    def append(self, signatures: Sequence[bytes], signature: bytes) -> tuple[bytes, ...]:
        """The `signatures` of a file, in their order, with a further one; raises like add_timestamp."""

    def replace_further(self, signature: bytes, further: Sequence[bytes]) -> bytes:
        """`signature` with `further`, at least one, in place of those that it carries; raises like add_timestamp."""

    def reduce(self, signature: bytes, *, certificates: bool, unsigned_attributes: bool) -> bytes:
        """`signature` without `certificates` other than the signer's, and without `unsigned_attributes` (timestamps,
        further signatures); everything signed keeps its bytes. Raises like add_timestamp.
        """

    def read(self, signature: bytes) -> SignatureT_co:
        """The parsed signature.

        Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when it is not a signature of this
        kind, and (NTE_BAD_ALGID, check "algorithms") when its digest algorithm is unknown.
        """


class PreparedParts(PreparedSignature, Protocol):
    """A prepared signature that can be written down: its content and what is signed for it. As DER of PKCS#7 (the
    signed attributes), else as the format has them."""

    @property
    def content(self) -> bytes: ...
    @property
    def attributes(self) -> bytes: ...


@runtime_checkable
class DetachableProfile(SignatureProfile[SignatureT_co], Protocol[SignatureT_co]):
    """The strategy of signatures that can be made apart from their file, in two steps.

    `is_pkcs7` says that they are DER ContentInfos (RFC 5652 §3), which programs exchange without the file.
    """

    @property
    def is_pkcs7(self) -> bool: ...

    def prepare(self, terms: SigningTerms, content: bytes) -> PreparedParts:
        """See SignatureProfile."""

    def restore(
        self, algorithm: DigestAlgorithm, content: bytes, attributes: bytes, certificate: bytes | None, /
    ) -> PreparedParts:
        """The signature that `prepare` made, of its parts, and of the certificate of its terms where that is known.
        Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when `prepare` does not make them of any terms."""


def is_timestamped(signature: FileSignature) -> bool:
    """Whether the signature carries a timestamp of either kind."""
    return bool(signature.tokens or signature.counter_signatures)


@runtime_checkable
class PairedSignature(PreparedSignature, Protocol):
    """A prepared signature that consists of two values by one key, of which `digest` and `companion` are made first."""

    @property
    def companion(self) -> bytes:
        """The second digest that the key store signs; neither depends on the other's signature."""

    def paired(self, value: bytes) -> PreparedSignature:
        """The same with the key store's signature of `companion`, ready to be assembled."""


@runtime_checkable
class PairedValue(Protocol):
    """A FileSignature of two values by one key."""

    @property
    def companion_value(self) -> bytes:
        """The other one, which no timestamp covers."""


@runtime_checkable
class IssuerNaming(Protocol):
    """A FileSignature that names its certificate and the issuer of that once more."""

    def publisher_fault(self, issuer: x509.Certificate) -> str | None:
        """Why it does not name the certificate that signed, and `issuer`, who issued it; None when it does."""
