"""The members of a catalogue: for each a tag, the digest of the file, and its name if there is one.

TrustedSubject ::= SEQUENCE { tag OCTET STRING, SET OF SEQUENCE { type, SET OF value } }. The tag is the digest itself,
or text in UTF-16 LE: the digest's hex digits, or what the catalogue's author wrote. A name is a name/value pair. New
catalogues (version 2) may have the SHA-1 of a file too, as a member whose tag alone is the digest.
"""

from __future__ import annotations

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
_MAX_MEMBERS = 1 << 20
"""A member takes more than sixty bytes, and a catalogue has 64 MiB at most."""
_SUBJECTS = 2  # of the list's SEQUENCEs: usage, algorithm, subjects
_BY_SIZE: Final = {
    20: DigestAlgorithm.SHA1,
    32: DigestAlgorithm.SHA256,
    48: DigestAlgorithm.SHA384,
    64: DigestAlgorithm.SHA512,
}


class Member(NamedTuple):
    """A member as it is written: its tag, the digest of the file and what it was made with (None: unknown here), and
    the file's name ("" when there is none).

    `fault` says how its tag and its digest contradict each other; "" when they do not.
    """

    tag: bytes
    digest: bytes
    algorithm: DigestAlgorithm | None
    name: str
    fault: str = ""

    @property
    def shown(self) -> str:
        """The name, else the digest in hex."""
        return self.name or self.digest.hex()


def read_members(trust_list: bytes) -> Iterator[Member]:
    """The members that the DER trust list has, one by one.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they can't be read.
    """
    for number, subject in enumerate(_subjects(trust_list)):
        if number >= _MAX_MEMBERS:
            raise der.malformed(f"more than {_MAX_MEMBERS} members")
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
        if total > _MAX_MEMBERS:
            raise der.malformed(f"more than {_MAX_MEMBERS} members")
    return Listing(total, tuple(members))


def _subjects(trust_list: bytes) -> Iterator[der.Element]:
    sequences = [child for child in der.parse(trust_list).children() if child.tag == der.SEQUENCE]
    if len(sequences) > _SUBJECTS:
        yield from sequences[_SUBJECTS].iterate()


def _member(subject: der.Element) -> Member:
    fields = subject.fields()
    tag = fields.take(der.OCTET_STRING).content
    name, covered = "", None
    for attribute in fields.take(der.SET).children():
        parts = attribute.fields()
        kind, value = der.oid_of(parts.take(der.OID)), parts.take(der.SET)
        if kind == OID_NAME_VALUE:
            name = _file_name(value.first()) or name
        elif kind == OID_SPC_INDIRECT_DATA:
            if covered is not None:
                raise der.malformed("a member with two digests")
            covered = _digest(value.first())
    if covered is None:
        return Member(tag, tag, _BY_SIZE.get(len(tag)), name)
    digest, algorithm = covered
    return Member(tag, digest, algorithm, name, _contradiction(tag, digest))


def _contradiction(tag: bytes, digest: bytes) -> str:
    """Windows finds a member by its tag, other readers by its digest: where the tag is a digest, both must be one."""
    hex_digits = _text(tag).lower()
    if len(tag) in _BY_SIZE and tag != digest and not hex_digits.isascii():
        return f"its tag {tag.hex()} is not its digest {digest.hex()}"
    if len(hex_digits) == 2 * len(digest) and set(hex_digits) <= set("0123456789abcdef") and hex_digits != digest.hex():
        return f"its tag {hex_digits} is not its digest {digest.hex()}"
    return ""


def _written_tag(member: Member) -> str:
    """What the catalogue's author wrote as the tag; "" when it is the digest."""
    text = _text(member.tag)
    is_digest = member.tag == member.digest or text.lower() == member.digest.hex()
    return "" if is_digest or not text.isascii() else text


def _text(tag: bytes) -> str:
    return tag.decode("utf-16-le", "replace").rstrip("\0")


def _digest(indirect_data: der.Element) -> tuple[bytes, DigestAlgorithm | None]:
    """The digest in an SpcIndirectDataContent, and its algorithm."""
    fields = indirect_data.fields()
    fields.take(der.SEQUENCE)
    info = fields.take(der.SEQUENCE).fields()
    named = info.take(der.SEQUENCE)
    digest = info.take(der.OCTET_STRING).content
    try:
        algorithm = digest_algorithm(named.der)
    except TrustError:
        return digest, None
    return digest, algorithm if _BY_SIZE.get(len(digest)) is algorithm else None


def _file_name(pair: der.Element) -> str:
    """The value of a CatalogNameValue that holds a file's name, else ""."""
    fields = pair.fields()
    key = fields.take(BMP_STRING).content.decode("utf-16-be", "replace")
    flags = der.integer_of(fields.take(der.INTEGER))
    value = fields.take(der.OCTET_STRING).content
    if key not in _NAMES:
        return ""
    return value.decode("utf-8" if flags & _FROM_BASE64 else "utf-16-le", "replace").rstrip("\0")
