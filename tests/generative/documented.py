"""What may change and still verify: the exceptions that docs/reference/checks.md names, each with its reason."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from generative.compound_layout import free_bytes
from generative.der_changes import Change, Node
from generative.file_changes import FileChange
from generative.samples import Sample
from kspsign.certificates import der
from kspsign.model.values import Format
from support.formats.peimages import parts

_SECTOR = 512
_NULL = b"\x05\x00"
_CLOCK = 0xA1
_NULLABLE = frozenset(
    der.oid(identifier)
    for identifier in (
        "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3",
        "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.11",
    )
)  # fmt: skip
_CARRIED = frozenset(
    der.oid(identifier)
    for identifier in (
        "1.3.6.1.4.1.311.2.4.1", "1.3.6.1.4.1.311.3.3.1", "1.2.840.113549.1.9.6", "1.2.840.113549.1.9.16.2.14",
    )
)  # fmt: skip
_SIGNATURE_HEADERS = frozenset({"time", "date", "made by", "internal", "needed", "flags"})


@dataclass(frozen=True)
class Exceptions:
    """The reasons by which changes of one sample may verify."""

    sample: Sample

    def of_message(self, change: Change) -> str | None:
        """Why the changed message may verify; None: it may not."""
        node = change.parents[-1]
        if _is_null(change, node):
            return "RFC 5754 §2, RFC 4055 §1.2: an algorithm without parameters has NULL, or nothing"
        if change.kind == "reorder" and _is_carried(change, node):
            return "certificates, unsigned attributes and further signatures are not sorted by all signers"
        if change.kind == "drop" and _is_removable(change, node):
            return "a timestamp, a further signature or a certificate that is held elsewhere can be taken away"
        if change.kind == "repeat" and _is_signers_certificate(change, node):
            return "Azure Artifact Signing has the signer's certificate twice"
        if _is_number(node) and any(parent.tag == _CLOCK and _holds_clock(parent) for parent in change.parents):
            return "the certificate of Microsoft's clock can't be verified, and is bounded in form and size"
        return None

    def of_file(self, change: FileChange) -> str | None:
        """Why the changed file may verify; None: it may not."""
        if self.sample.format_ is Format.MSI:
            return self._of_compound(change)
        if change.kind == "table" and change.detail.startswith("length") and self._is_unpadded(change.make()):
            return "dwLength may count the padding to eight bytes, or not"
        if change.detail == "entry dropped" and self.sample.suffix == ".efi":
            return "a further signature can be taken away, as from any file"
        if change.kind == "record" and self.sample.format_ in {Format.APPX, Format.APPX_BUNDLE}:
            return "the digest of the central directory sorts its records, as Windows does"
        place, _, field = change.kind.partition(" ")
        if place in {"local", "central", "both"} and field in _SIGNATURE_HEADERS and self._is_last(change.offset):
            return "signers write their own time, version, system and text bit into the signature's headers"
        return _of_text_or_block(change)

    def _of_compound(self, change: FileChange) -> str | None:
        if change.kind == "rewrite":
            return "how a compound file lays out its streams is not signed"
        data, changed = self.sample.data, change.make()
        if len(data) == len(changed):
            places = {at for at, (old, new) in enumerate(zip(data, changed, strict=True)) if old != new}
            if places <= free_bytes(data):
                return "Windows leaves what was there in the rests of sectors, and ignores these numbers"
        if data.startswith(changed) and len(data) - len(changed) < _SECTOR:
            return "the rest of the last sector may be missing"
        return None

    def _is_unpadded(self, data: bytes) -> bool:
        """Whether the table's first entry has the length of its signature alone."""
        return data[parts(data).table :][:4] == struct.pack("<I", 8 + len(self.sample.message))

    def _is_last(self, index: int) -> bool:
        return index == self.sample.data.count(b"PK\1\2") - 1 or self.sample.format_ is Format.APPX_BUNDLE


def _of_text_or_block(change: FileChange) -> str | None:
    if change.kind == "text" and re.fullmatch("utf-(16-[lb]e|8), 1 marks", change.detail):
        return "a script's text is signed, in whichever encoding its byte order mark names"
    if change.kind == "block" and change.detail == "b'\\x00' (1) after the message":
        return "zeros may fill the message of a Business Central package up to eight bytes"
    return None


def _is_null(change: Change, node: Node) -> bool:
    """Whether the NULL of an AlgorithmIdentifier was put in, or taken away."""
    children = node.children or ()
    if node.tag != der.SEQUENCE or not children or children[0].der not in _NULLABLE:
        return False
    dropped = change.kind == "drop" and children[change.position].der == _NULL
    return dropped or (change.kind == "insert" and change.detail == "NULL" and len(children) == 1)


def _is_carried(change: Change, node: Node) -> bool:
    """Whether members of the certificates, of the unsigned attributes or of one of these changed places."""
    parent = change.parents[-2] if len(change.parents) > 1 else None
    if node.tag == 0xA0 and node.children and _is_certificate(node.children[0]):
        return True
    if node.tag == 0xA1 and all(_attribute_oid(child) in _CARRIED for child in node.children or ()):
        return True
    return node.tag == der.SET and parent is not None and _attribute_oid(parent) in _CARRIED


def _is_removable(change: Change, node: Node) -> bool:
    dropped = (node.children or ())[change.position]
    if _attribute_oid(dropped) in _CARRIED:
        return True
    if dropped.tag == 0xA1 and all(_attribute_oid(child) in _CARRIED for child in dropped.children or ()):
        return True
    parent = change.parents[-2] if len(change.parents) > 1 else None
    if node.tag == der.SET and parent is not None and _attribute_oid(parent) in _CARRIED:
        return True
    return node.tag == 0xA0 and bool(node.children) and (_is_certificate(dropped) or dropped.tag == _CLOCK)


def _is_signers_certificate(change: Change, node: Node) -> bool:
    """Whether it is the member of the certificates whose serial number the signer names."""
    found = (node.children or ())[change.position]
    message = change.parents[-2].children if len(change.parents) > 1 else None
    if node.tag != 0xA0 or not _is_certificate(found) or not message:
        return False
    signed = (found.children or ())[0].children or ()
    serial = signed[1] if signed[0].tag == 0xA0 else signed[0]
    return serial.der in message[-1].der


def _attribute_oid(node: Node) -> bytes:
    children = node.children or ()
    return children[0].der if node.tag == der.SEQUENCE and len(children) == 2 else b""


def _is_certificate(node: Node) -> bool:
    children = node.children or ()
    return node.tag == der.SEQUENCE and [child.tag for child in children] == [
        der.SEQUENCE,
        der.SEQUENCE,
        der.BIT_STRING,
    ]


def _is_number(node: Node) -> bool:
    """Whether it is an INTEGER, or consists of some."""
    numbers = (node,) if node.children is None else node.children
    return bool(numbers) and all(number.tag == der.INTEGER for number in numbers)


def _holds_clock(node: Node) -> bool:
    return der.oid("1.3.6.1.4.1.601.10.4.1") in node.der and len(node.children or ()) == 3
