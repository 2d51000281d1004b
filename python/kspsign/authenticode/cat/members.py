"""The members of a catalogue: for each a tag, the digest of the file, and its name if there is one.

TrustedSubject ::= SEQUENCE { tag OCTET STRING, SET OF SEQUENCE { type, SET OF value } }. The tag is the digest itself,
or text in UTF-16 LE: the digest's hex digits, or what the catalogue's author wrote. A name is a name/value pair.
"""

from __future__ import annotations

from kspsign.authenticode.cms.oids import OID_SPC_INDIRECT_DATA
from kspsign.authenticode.signable import ListedFile, Listing
from kspsign.certificates import der

_OID_NAME_VALUE = "1.3.6.1.4.1.311.12.2.1"
_NAMES = frozenset({"File", "FileName", "FilePath"})
_FROM_BASE64 = 0x00020000  # the value is what the author wrote in base64: bytes, not UTF-16
_BMP_STRING = 0x1E
_MAX_MEMBERS = 1 << 20
"""A member takes more than sixty bytes, and a catalogue has 64 MiB at most."""
_SUBJECTS = 2  # of the list's SEQUENCEs: usage, algorithm, subjects


def read_listing(trust_list: bytes, most: int) -> Listing:
    """How many members the DER trust list has, and the first `most` of them.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they can't be read.
    """
    sequences = [child for child in der.parse(trust_list).children() if child.tag == der.SEQUENCE]
    if len(sequences) <= _SUBJECTS:
        return Listing(0, ())
    members: list[ListedFile] = []
    total = 0
    for subject in sequences[_SUBJECTS].iterate():
        if total < most:
            members.append(_member(subject))
        total += 1
        if total > _MAX_MEMBERS:
            raise der.malformed(f"more than {_MAX_MEMBERS} members")
    return Listing(total, tuple(members))


def _member(subject: der.Element) -> ListedFile:
    fields = subject.fields()
    tag = fields.take(der.OCTET_STRING).content
    name, digest = "", None
    for attribute in fields.take(der.SET).children():
        parts = attribute.fields()
        kind, value = der.oid_of(parts.take(der.OID)), parts.take(der.SET)
        if kind == _OID_NAME_VALUE:
            name = _file_name(value.first()) or name
        elif kind == OID_SPC_INDIRECT_DATA:
            digest = _digest(value.first())
    if digest is None:
        return ListedFile(name, tag.hex())
    text = tag.decode("utf-16-le", "replace").rstrip("\0")
    written = "" if text.lower() == digest.hex() or not text.isascii() else text
    return ListedFile(name or written, digest.hex())


def _digest(indirect_data: der.Element) -> bytes:
    """The digest in an SpcIndirectDataContent."""
    fields = indirect_data.fields()
    fields.take(der.SEQUENCE)
    info = fields.take(der.SEQUENCE).fields()
    info.take(der.SEQUENCE)
    return info.take(der.OCTET_STRING).content


def _file_name(pair: der.Element) -> str:
    """The value of a CatalogNameValue that holds a file's name, else ""."""
    fields = pair.fields()
    key = fields.take(_BMP_STRING).content.decode("utf-16-be", "replace")
    flags = der.integer_of(fields.take(der.INTEGER))
    value = fields.take(der.OCTET_STRING).content
    if key not in _NAMES:
        return ""
    return value.decode("utf-8" if flags & _FROM_BASE64 else "utf-16-le", "replace").rstrip("\0")
