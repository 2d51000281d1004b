"""Writes catalogues: unsigned, of version 2 (SHA-256), as New-FileCatalog and Inf2Cat write them.

CertificateTrustList ::= SEQUENCE { usage, identifier, date, subjectAlgorithm, trustedSubjects, [0] extensions }, as in
catalogues of Microsoft's tools, with which it was compared. The same files, names and time give the same bytes: the
list's identifier, random elsewhere, is a digest of its members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from kspsign.authenticode.cab.cabinet import CabFile
from kspsign.authenticode.cat.catalogue import OID_CATALOG_LIST
from kspsign.authenticode.cat.members import BMP_STRING, OID_NAME_VALUE
from kspsign.authenticode.cms.oids import (
    OID_CTL,
    OID_SIGNED_DATA,
    OID_SPC_CAB_DATA,
    OID_SPC_INDIRECT_DATA,
    OID_SPC_PE_IMAGE_DATA,
)
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.hash import hash_stretch
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, SignableFile
from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm, Format

BY_AUTHENTICODE = frozenset({Format.PE, Format.CAB})
"""What Windows looks up by its Authenticode digest (CryptSIPRetrieveSubjectGuidForCatalogFile); all else by the hash of
the whole file."""
BY_BOTH = frozenset({Format.MSI})
"""What Windows looks up by the hash of the whole file, and osslsigncode by its Authenticode digest."""
_OID_MEMBERS_V2 = "1.3.6.1.4.1.311.12.1.3"
_OID_MEMBER_INFO_V2 = "1.3.6.1.4.1.311.12.2.3"
_NAME_VALUE_FLAGS = 0x10010001
_IMAGE, _FLAT = der.element(0x80), der.element(0x82)
"""What member info says in catalogues of Microsoft: of PE images, and of other files."""
_NO_LINK = der.element(0xA2, der.element(0x80))
_IMAGE_DATA = der.sequence(der.element(der.BIT_STRING, b"\x05\xa0"), der.element(0xA0, _NO_LINK))
_FIRST_GENERALIZED = 2050  # RFC 5280 §4.1.2.5
_ALGORITHM = DigestAlgorithm.SHA256
_CAB_MAGIC, _CAB_CHECKED = b"MSCF", 8  # between them the checksum (reserved1 of CFHEADER)


class NewMember(NamedTuple):
    """A member to be written: its SHA-256, its name, the SpcIndirectDataContent of the file (DER), and whether that is
    a PE image's."""

    digest: bytes
    name: str
    indirect_data: bytes
    is_image: bool = False


class DriverFacts(NamedTuple):
    """What a driver's catalogue says besides: hardware ids of the list, and the systems that each member is for, as
    "2:10.0"."""

    hardware_ids: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether it is a driver's."""
        return bool(self.hardware_ids or self.systems)


def flat_member(digest: bytes, name: str) -> NewMember:
    """The member of a file of any content by the SHA-256 of all of it."""
    return NewMember(digest, name, indirect_data(OID_SPC_CAB_DATA, _NO_LINK, _ALGORITHM, digest))


def authenticode_members(file: SignableFile, format_: Format, name: str) -> Iterator[NewMember]:
    """The members of a file by its Authenticode digest; raises what hashing it does."""
    for found in format_digests(file, [_ALGORITHM]):
        digest = found.values[_ALGORITHM]
        if format_ is Format.PE:
            image_data = indirect_data(OID_SPC_PE_IMAGE_DATA, _IMAGE_DATA, _ALGORITHM, digest)
            yield NewMember(digest, name, image_data, is_image=True)
        else:
            yield NewMember(digest, name, file.content(SigningTerms(_ALGORITHM, ()), found))


def format_digests(file: SignableFile, algorithms: Collection[DigestAlgorithm]) -> Iterator[Digest]:
    """The digests by which a catalogue may list the file: what a signature of it covers, and of a cabinet that has no
    place for one yet all but its checksum, by which osslsigncode looks it up."""
    yield file.digest(algorithms)
    if isinstance(file, CabFile) and file.head.reserve is None:
        yield hash_stretch(file.snapshot, _CAB_CHECKED, file.snapshot.size, algorithms, before=_CAB_MAGIC)


def write_catalogue(members: Sequence[NewMember], moment: datetime, driver: DriverFacts) -> bytes:
    """A SignedData without signers around the list of `members`, in the order of their digests, dated `moment`."""
    subjects = [*dict.fromkeys(_subject(member, driver) for member in sorted(members))]
    identifier = hashlib.sha256(b"".join(subjects)).digest()[:16]
    trust_list = der.sequence(
        der.sequence(der.oid(OID_CATALOG_LIST)),
        der.octet_string(identifier),
        _time(moment),
        der.sequence(der.oid(_OID_MEMBERS_V2), der.element(der.NULL)),
        der.sequence(*subjects),
        *_extensions(driver),
    )
    encapsulated = der.sequence(der.oid(OID_CTL), der.element(0xA0, trust_list))
    signed = der.sequence(der.integer(1), der.set_of(), encapsulated, der.set_of())
    return der.sequence(der.oid(OID_SIGNED_DATA), der.element(0xA0, signed))


def _subject(member: NewMember, driver: DriverFacts) -> bytes:
    attributes = [
        der.sequence(der.oid(_OID_MEMBER_INFO_V2), der.set_of(_IMAGE if member.is_image else _FLAT)),
        der.sequence(der.oid(OID_SPC_INDIRECT_DATA), der.set_of(member.indirect_data)),
    ]
    # A driver's catalogue names files as its INF does, without folders and in lower case.
    names = {"FilePath": member.name.replace("/", "\\")}
    if driver.given:
        names = {"File": member.name.rpartition("/")[2].lower()}
    if driver.systems:
        names["OSAttr"] = ",".join(driver.systems)
    attributes += (der.sequence(der.oid(OID_NAME_VALUE), der.set_of(_pair(*pair))) for pair in names.items())
    return der.sequence(der.octet_string(member.digest), der.set_of(*attributes))


def _extensions(driver: DriverFacts) -> Iterator[bytes]:
    """The attributes of the list itself: HWID1, HWID2 and so on."""
    named = [_pair(f"HWID{number}", text.lower()) for number, text in enumerate(driver.hardware_ids, start=1)]
    if named:
        entries = (der.sequence(der.oid(OID_NAME_VALUE), der.octet_string(pair)) for pair in named)
        yield der.element(0xA0, der.sequence(*entries))


def _pair(name: str, value: str) -> bytes:
    """CatalogNameValue."""
    return der.sequence(
        der.element(BMP_STRING, name.encode("utf-16-be")),
        der.integer(_NAME_VALUE_FLAGS),
        der.octet_string(f"{value}\0".encode("utf-16-le")),
    )


def _time(moment: datetime) -> bytes:
    text = f"{moment.astimezone(UTC):%Y%m%d%H%M%SZ}"
    if moment.year < _FIRST_GENERALIZED:
        return der.element(der.UTC_TIME, text[2:].encode())
    return der.element(der.GENERALIZED_TIME, text.encode())
