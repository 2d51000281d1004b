"""The members of a catalogue: for each a tag, the digest of the file, and its name if there is one.

TrustedSubject ::= SEQUENCE { tag OCTET STRING, SET OF SEQUENCE { type, SET OF value } }. The tag is the digest itself,
or text in UTF-16 LE: the digest's hex digits, or what the catalogue's author wrote. A name is a name/value pair. New
catalogues (version 2) may have the SHA-1 of a file too, as a member whose tag alone is the digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from kspsign.authenticode.cms.algorithms import digest_algorithm
from kspsign.authenticode.cms.oids import OID_SPC_INDIRECT_DATA
from kspsign.authenticode.signable import ListedFile, Listing
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm

OID_NAME_VALUE = "1.3.6.1.4.1.311.12.2.1"
BMP_STRING = 0x1E
_NAMES = frozenset({"File", "FileName", "FilePath"})
_FROM_BASE64 = 0x00020000  # the value is what the author wrote in base64: bytes, not UTF-16
MAX_MEMBERS: Final = 1 << 18
"""Members with names take some 250 bytes each, and a catalogue has 64 MiB at most."""
_FIELDS = re.compile(rb"0\x04?\x02?[\x17\x18]{0,2}(?:00?)?\xa0?", re.DOTALL)
"""Tags of a trust list: usage, identifier, number, dates, algorithm, subjects, extensions."""
_MAX_FIELDS = 8
_SUBJECTS = 2  # of the list's SEQUENCEs: usage, algorithm, subjects
_HEX = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")
_BY_SIZE: Final = {
    20: DigestAlgorithm.SHA1,
    32: DigestAlgorithm.SHA256,
    48: DigestAlgorithm.SHA384,
    64: DigestAlgorithm.SHA512,
}


class Member(NamedTuple):
    """A member as it is written: its tag, the digest of the file and what it was made with (None: unknown here), and
    the file's name ("" when there is none).

    `fault` says how its tag and its digest contradict each other; "" when they do not. `kind` is the OID of what the
    digest is of (SpcIndirectDataContent); "" where the tag alone is the digest.
    """

    tag: bytes
    digest: bytes
    algorithm: DigestAlgorithm | None
    name: str
    fault: str = ""
    kind: str = ""

    @property
    def shown(self) -> str:
        """The name, else the digest in hex."""
        return self.name or self.digest.hex()


def read_members(trust_list: bytes) -> Iterator[Member]:
    """The members that the DER trust list has, one by one.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they can't be read.
    """
    for number, subject in enumerate(_subjects(trust_list)):
        if number >= MAX_MEMBERS:
            raise der.malformed(f"more than {MAX_MEMBERS} members")
        yield _member(subject)


def read_listing(trust_list: bytes, most: int) -> Listing:
    """How many members the DER trust list has, and the first `most` of them; raises like read_members."""
    members: list[ListedFile] = []
    total = 0
    for subject in _subjects(trust_list):
        if total < most:
            found = _member(subject)
            members.append(ListedFile(found.name or _written_tag(found), found.digest.hex()))
        total += 1
        if total > MAX_MEMBERS:
            raise der.malformed(f"more than {MAX_MEMBERS} members")
    return Listing(total, tuple(members))


def _subjects(trust_list: bytes) -> Iterator[der.Element]:
    fields = der.parse(trust_list).children(_MAX_FIELDS)
    if not _FIELDS.fullmatch(bytes(field.tag for field in fields)) or len(fields[0].children()) != 1:
        raise der.malformed("fields that a trust list of files does not have")
    sequences = [field for field in fields if field.tag == der.SEQUENCE]
    if len(sequences) > _SUBJECTS:
        yield from sequences[_SUBJECTS].iterate()


def _member(subject: der.Element) -> Member:
    fields = subject.fields()
    tag = fields.take(der.OCTET_STRING).content
    attributes = fields.take(der.SET).children()
    fields.end()
    name, covered = "", None
    for attribute in attributes:
        kind, value = _attribute(attribute)
        if kind == OID_NAME_VALUE:
            name = _file_name(value) or name
        elif kind == OID_SPC_INDIRECT_DATA:
            if covered is not None:
                raise der.malformed("a member with two digests")
            covered = _digest(value)
    if covered is None:
        return Member(tag, tag, _BY_SIZE.get(len(tag)), name)
    digest, algorithm, kind = covered
    return Member(tag, digest, algorithm, name, _contradiction(tag, digest), kind)


def _attribute(attribute: der.Element) -> tuple[str, der.Element]:
    """Its OID, and its one value."""
    parts = attribute.fields()
    kind, values = der.oid_of(parts.take(der.OID)), parts.take(der.SET).children()
    parts.end()
    if len(values) != 1:
        raise der.malformed(f"a member's attribute {kind} with {len(values)} values")
    return kind, values[0]


def _contradiction(tag: bytes, digest: bytes) -> str:
    """Windows finds a member by its tag, other readers by its digest: where the tag is a digest, both must be one."""
    hex_digits = _text(tag).lower()
    if len(tag) in _BY_SIZE and tag != digest and not hex_digits.isascii():
        return f"its tag {tag.hex()} is not its digest {digest.hex()}"
    if _HEX.fullmatch(hex_digits) and hex_digits != digest.hex():
        return f"its tag {hex_digits} is not its digest {digest.hex()}"
    return ""


def _written_tag(member: Member) -> str:
    """What the catalogue's author wrote as the tag; "" when it is the digest."""
    text = _text(member.tag)
    is_digest = member.tag == member.digest or text.lower() == member.digest.hex()
    return "" if is_digest or not text.isascii() else text


def _text(tag: bytes) -> str:
    return tag.decode("utf-16-le", "replace").rstrip("\0")


def _digest(indirect_data: der.Element) -> tuple[bytes, DigestAlgorithm | None, str]:
    """The digest in an SpcIndirectDataContent, its algorithm, and the OID of what it is of."""
    fields = indirect_data.fields()
    kind = der.oid_of(fields.take(der.SEQUENCE).first())
    info = fields.take(der.SEQUENCE).fields()
    fields.end()
    named, digest = info.take(der.SEQUENCE), info.take(der.OCTET_STRING).content
    info.end()
    try:
        algorithm = digest_algorithm(named.der)
    except TrustError:
        return digest, None, kind
    return digest, algorithm if _BY_SIZE.get(len(digest)) is algorithm else None, kind


def _file_name(pair: der.Element) -> str:
    """The value of a CatalogNameValue that holds a file's name, else ""."""
    fields = pair.fields()
    key = fields.take(BMP_STRING).content.decode("utf-16-be", "replace")
    flags = der.integer_of(fields.take(der.INTEGER))
    value = fields.take(der.OCTET_STRING).content
    fields.end()
    if key not in _NAMES:
        return ""
    return value.decode("utf-8" if flags & _FROM_BASE64 else "utf-16-le", "replace").rstrip("\0")
