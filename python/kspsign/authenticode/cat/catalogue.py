"""CAT: a catalogue of file hashes. The file is one DER SignedData (RFC 2315 §9) whose content is a certificate trust
list, Microsoft's structure for signed lists.

The content is signed as it is and never rewritten: members are read only for display. An unsigned catalogue is
a SignedData without signers, as MakeCat and New-FileCatalog write it, or the bare list.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import BinaryIO

from kspsign.authenticode.cat.members import read_listing
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_CTL, OID_SIGNED_DATA
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.rules import Covered
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, Glimpse, Listing, OneDigest
from kspsign.certificates import der
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

OID_CATALOG_LIST = "1.3.6.1.4.1.311.12.1.1"
MAX_SIZE = 64 << 20
MAX_CERTIFICATES = 256
_SIGNED_DATA_FIELDS = 6  # two of them optional
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
_SIGNED_LIST = re.compile(
    rb"0%(n)b%(signed)b\xa0%(n)b0%(n)b\x02\x01.1%(n)b.{0,128}?0%(n)b%(list)b"
    % {b"n": _LENGTH, b"signed": re.escape(der.oid(OID_SIGNED_DATA)), b"list": re.escape(der.oid(OID_CTL))},
    re.DOTALL,
)
_BARE_LIST = re.compile(rb"0%b0%b%b" % (_LENGTH, _LENGTH, re.escape(der.oid(OID_CATALOG_LIST))), re.DOTALL)


def _covered(content: bytes, algorithm: DigestAlgorithm | None) -> Covered:
    """The list's usage, and the digest of the list in this very signature: a nested one has a copy of its own."""
    trust_list = der.parse(content)
    octets = memoryview(content)[trust_list.content_start :]
    digest = b"" if algorithm is None else hashlib.new(algorithm, octets).digest()
    return Covered(der.oid_of(trust_list.first().first()), b"", algorithm, digest)


PROFILE = replace(AUTHENTICODE.covering(OID_CATALOG_LIST), content_type=OID_CTL, covered=_covered)
"""Authenticode, but that the signed content is the trust list itself."""


def is_cat(glimpse: Glimpse) -> bool:
    """Whether the content begins as a SignedData with a trust list in it, or as a catalogue's bare list."""
    return bool(_SIGNED_LIST.match(glimpse.head) or _BARE_LIST.match(glimpse.head))


@dataclass(frozen=True, slots=True)
class CatFile(OneDigest):
    """A catalogue: its trust list (one DER element), and the SignedData around it if that has a signer; see
    SignableFile."""

    snapshot: Snapshot
    data: bytes = field(repr=False)
    trust_list: bytes = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    signed: bool

    @classmethod
    def open(cls, snapshot: Snapshot) -> CatFile:
        """Read it; raises ArtifactError when it is not DER from end to end, or no catalogue."""
        data = snapshot.whole(MAX_SIZE)
        if data is None:
            raise _damaged(f"it has more than {MAX_SIZE >> 20} MiB")
        try:
            trust_list, certificates, signed = _read(data)
            usage = der.oid_of(der.parse(trust_list).first().first())
        except TrustError as broken:
            raise _damaged(str(broken)) from broken
        if usage != OID_CATALOG_LIST:
            raise _damaged("its trust list lists certificates or the like, not files")
        return cls(snapshot, data, trust_list, certificates, signed)

    @property
    def profile(self) -> CmsProfile:
        """The trust list in place of SpcIndirectDataContent."""
        return PROFILE

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The whole file, when it is signed."""
        return (self.data,) if self.signed else ()

    def admit(self, _terms: SigningTerms) -> None:
        """Any catalogue that could be opened can be signed."""

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash the trust list without its tag and length, as messageDigest does."""
        content = memoryview(self.trust_list)[der.parse(self.trust_list).content_start :]
        values = {algorithm: hashlib.new(algorithm, content).digest() for algorithm in algorithms}
        return Digest(values, hashlib.sha256(self.data).hexdigest())

    def structure(self, _digest: Digest, _signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The check "certificate-order": Windows finds no signature where the certificates are not sorted."""
        if all(first <= second for first, second in pairwise(self.certificates)):
            return (Finding("certificate-order", "the certificates are in DER order"),)
        detail = "the certificates are not in DER order, and Windows then finds no signature in a catalogue"
        return (Finding("certificate-order", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE),)

    def content(self, _terms: SigningTerms, _digest: Digest) -> bytes:
        """The trust list, byte for byte."""
        return self.trust_list

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the first of `signatures` to `target`: it has the trust list in it; without any the list alone."""
        target.write(signatures[0] if signatures else self.trust_list)

    def listing(self, most: int) -> Listing:
        """The files that the catalogue lists; see ListingFile."""
        return read_listing(self.trust_list, most)


def _read(data: bytes) -> tuple[bytes, tuple[bytes, ...], bool]:
    """The trust list, the certificates, and whether there is a signer."""
    outer = der.parse(data)
    if outer.first().tag != der.OID:
        return data, (), False
    kind, explicit = _exactly(2, outer)
    (message,) = _exactly(1, explicit)
    signed = message.children(_SIGNED_DATA_FIELDS)
    if der.oid_of(kind) != OID_SIGNED_DATA or len(signed) < _SIGNED_DATA_FIELDS - 2:
        raise der.malformed("it is not a SignedData")
    content_type, content = _exactly(2, signed[2])
    (trust_list,) = _exactly(1, content)
    if der.oid_of(content_type) != OID_CTL:
        raise der.malformed("it holds no trust list")
    certificates = next((element.children(MAX_CERTIFICATES) for element in signed[3:] if element.tag == 0xA0), ())
    return trust_list.der, tuple(certificate.der for certificate in certificates), bool(signed[-1].content)


def _exactly(count: int, element: der.Element) -> tuple[der.Element, ...]:
    found = element.children(count)
    if len(found) < count:
        raise der.malformed(f"{len(found)} elements where {count} are due")
    return found


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the catalogue is damaged: {what}")
