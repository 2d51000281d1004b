"""A script as a signable file: the digest of its text, its signature block, and what prevents it from being signed.

What is hashed was checked against files that SignTool signed: line ends unchanged, the text as UTF-16 LE; with its
byte order mark for PowerShell's kinds, and with the block's position (in UTF-16 units, 32 bit) for Script Host's.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_SIP_INFO
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.spc import sip_findings, sip_indirect_data
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.script.block import Block, find_block, has_bare_line_end, write_block
from kspsign.authenticode.script.styles import STYLES, ScriptStyle
from kspsign.authenticode.script.text import UTF8, UTF16_BE, ScriptText, as_crlf, read_text
from kspsign.authenticode.signable import Digest, Glimpse, OneDigest, nth
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding, Format

MAX_SIZE = 24 << 20
"""Bytes; a character takes four in memory when one of them is not of the Basic Multilingual Plane."""
MIN_SIZE = 4
PROFILE = AUTHENTICODE.covering(OID_SPC_SIP_INFO)


def is_script(format_: Format, glimpse: Glimpse) -> bool:
    """Whether the extension is one of `format_`'s: text has no other marks; opening it checks the content."""
    style = STYLES.get(glimpse.path.suffix.lower())
    return style is not None and style.kind is format_


@dataclass(frozen=True, slots=True)
class ScriptFile(OneDigest):
    """A script, read whole: its text, and its signature block if one begins in it; see SignableFile."""

    snapshot: Snapshot
    style: ScriptStyle
    text: ScriptText = field(repr=False)
    block: Block | None = field(repr=False)
    sha256: str
    is_converted: bool = False

    @classmethod
    def open(cls, snapshot: Snapshot) -> ScriptFile:
        """Read it; raises ArtifactError when it is not text, or no script could be so large or so small."""
        suffix = snapshot.path.suffix.lower()
        style = STYLES.get(suffix)
        if style is None:
            raise ArtifactError(Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, f"{suffix} is not a script's extension")
        data = snapshot.whole(MAX_SIZE)
        if data is None:
            raise ArtifactError(
                Hresult.ERROR_BAD_FORMAT,
                f"a script of more than {MAX_SIZE >> 20} MiB is not signed",
                remedy="Move the data out of the script into a separate file.",
            )
        if len(data) < MIN_SIZE:
            raise ArtifactError(
                Hresult.ERROR_BAD_FORMAT,
                f"the script has {len(data)} bytes; Windows does not sign scripts with fewer than {MIN_SIZE}",
                remedy="Exclude it (!pattern), or write a comment into it.",
            )
        text = read_text(data, style.unmarked)
        return cls(snapshot, style, text, find_block(text.characters, style), hashlib.sha256(data).hexdigest())

    @property
    def profile(self) -> CmsProfile:
        """Authenticode."""
        return PROFILE

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The content of the block."""
        return (self.block.der,) if self.block and self.block.der else ()

    @property
    def occupant(self) -> str | None:
        """A signature block whose lines are not base64; see OccupiedFile."""
        if self.block is None or self.block.der:
            return None
        return f"a signature block that can't be read: {'; '.join(self.block.faults)}"

    def admit(self, _terms: SigningTerms) -> None:
        """Raise ArtifactError when there is a Windows that would not accept the signature."""
        self._admit_encoding()
        broken = next((finding for finding in self._block_findings() if finding.hresult), None)
        if broken is not None:
            raise _refusal(
                f"it carries a signature block that is not intact ({broken.check}: {broken.detail})",
                self.occupant_remedy,
            )
        unsigned = "" if self.style.wsh else self._unsigned()
        if has_bare_line_end(unsigned):
            line = next(number for number, part in enumerate(unsigned.split("\r\n"), 1) if {"\r", "\n"} & set(part))
            raise _refusal(
                f"line {line} does not end in CRLF, and not every PowerShell accepts a signed script with such lines",
                "Sign with --crlf, which converts them first, or keep CRLF in the sources (in git: *.ps1 text eol=crlf "
                "in .gitattributes).",
            )
        if self.block is None and self._insertion() < 0:
            raise _refusal(
                f"it has no {self.style.closing}, before which its signature would be placed",
                "A Windows Script File holds at least one <job>; write the tags in lower case.",
            )

    def with_crlf(self) -> ScriptFile:
        """The script with CRLF throughout; see ConvertibleFile. Windows Script Host takes any line ends."""
        if self.style.wsh or not has_bare_line_end(self._unsigned()):
            return self
        text = replace(self.text, characters=as_crlf(self.text.characters))
        return replace(self, text=text, block=find_block(text.characters, self.style), is_converted=True)

    @property
    def occupant_remedy(self) -> str:
        """What to do about a block that is not intact. A line that begins one may be the script's own: whoever removes
        all that follows it would cut the script."""
        if self.block is None:
            return "Sign the original."
        line = self.text.characters.count("\n", 0, self.block.start) + 1 + (self.block.start > 0)
        return (
            f"Look at line {line}, '{self.style.begin}'. If a tool put the block there, sign the original, or remove "
            "the block, from that line to its end line, and sign again. If the line is the script's own, such as in a "
            "here-string, Windows takes it for a signature all the same: build the text so that no line begins with it."
        )

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash the text without its block; see module."""
        return Digest(self.hashed(algorithms), self.sha256)

    def hashed(
        self, algorithms: Collection[DigestAlgorithm], line_end: str | None = None
    ) -> dict[DigestAlgorithm, bytes]:
        """The digests; with `line_end` as they would be had the script that one throughout."""
        hashers = [hashlib.new(algorithm) for algorithm in algorithms]
        start, stop = self._place()
        units = 0
        if not self.style.wsh and self.text.encoding.mark:
            _feed(hashers, "\ufeff".encode("utf-16-le"))
        for piece in self.text.utf16(0, start, line_end):
            units += len(piece) // 2
            _feed(hashers, piece)
        if self.style.wsh:
            for piece in self.text.utf16(stop, len(self.text.characters), line_end):
                _feed(hashers, piece)
            _feed(hashers, struct.pack("<I", units))
        return dict(zip(algorithms, (hasher.digest() for hasher in hashers), strict=True))

    def structure(self, digest: Digest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks "line-ends", "byte-order-mark", "signature-block", "trailing-text", "encoding" and "sip"."""
        return (
            *self._conversion_findings(digest, signatures),
            *self._block_findings(),
            self._encoding_finding(),
            *sip_findings(signatures, self.style.sip),
        )

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent that names the script's SIP."""
        style = self.style
        return sip_indirect_data(style.sip_version, style.sip, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the script with the first of `signatures` in its block to `target`, without any as its text alone; the
        text keeps its bytes."""
        start, stop = self._place()
        before, after = self.text.characters[:start], self.text.characters[stop:]
        blocks = "".join(write_block(signature, self.style) for signature in signatures[:1])
        target.write(self.text.write(before + blocks + after))

    def _conversion_findings(self, digest: Digest, signatures: Sequence[CmsSignature]) -> Iterator[Finding]:
        """The checks "line-ends" and "byte-order-mark" of each signature whose digest is the script's, or would be with
        other line ends or another mark; of one whose digest is neither, nothing is known."""
        wrong = {
            signature.algorithm
            for signature in signatures
            if signature.file_digest != digest.values[signature.algorithm]
        }
        tried = list(self._conversions(wrong)) if wrong else []
        for index, signature in enumerate(signatures):
            if signature.file_digest == digest.values[signature.algorithm]:
                yield nth(index, Finding("line-ends", "as they were signed"))
                yield nth(index, Finding("byte-order-mark", "as it was signed"))
                continue
            found = (
                (line_end, marked)
                for line_end, marked, values in tried
                if values[signature.algorithm] == signature.file_digest
            )
            for line_end, marked in islice(found, 1):
                if line_end:
                    yield nth(index, _changed_line_ends(line_end, self.snapshot.path.suffix))
                if marked:
                    yield nth(index, _changed_mark(added=self.text.encoding is UTF8))

    def _conversions(
        self, algorithms: Collection[DigestAlgorithm]
    ) -> Iterator[tuple[str, bool, dict[DigestAlgorithm, bytes]]]:
        """The digests as they were before tools and editors converted the script: with which line ends ("" for those
        that it has), and whether with another byte order mark."""
        characters = self.text.characters
        pairs, line_feeds, returns = (characters.count(end) for end in ("\r\n", "\n", "\r"))
        line_ends: dict[str, str | None] = {"CRLF": "\r\n"} if max(line_feeds, returns) > pairs else {}
        line_ends |= {"LF": "\n"} if returns else {}
        for name, line_end in line_ends.items():
            yield name, False, self.hashed(algorithms, line_end)
        other = self.text.with_other_mark()
        if other is not None:
            marked = replace(self, text=other, block=find_block(other.characters, self.style))
            for name, line_end in {"": None, **line_ends}.items():
                yield name, True, marked.hashed(algorithms, line_end)

    def _block_findings(self) -> tuple[Finding, ...]:
        return () if self.block is None else self.block.findings

    def _place(self) -> tuple[int, int]:
        """From where to where the block is; where it would be, when there is none."""
        if self.block is not None:
            return self.block.start, self.block.stop
        at = max(self._insertion(), 0)
        return at, at

    def _insertion(self) -> int:
        characters, closing = self.text.characters, self.style.closing
        return characters.rfind(closing) if closing else len(characters)

    def _unsigned(self) -> str:
        start, stop = self._place()
        return self.text.characters[:start] + self.text.characters[stop:]

    def _admit_encoding(self) -> None:
        encoding, style = self.text.encoding, self.style
        if not encoding.certain:
            raise _refusal(
                "it has characters beyond ASCII and no byte order mark: Windows reads it "
                f"{style.unmarked.value}, and where it decodes it differently, the signature is invalid",
                style.advice,
            )
        if encoding is UTF16_BE and not style.wsh:
            raise _refusal("it is UTF-16 BE, for which PowerShell's SIP writes no signature (0x8007000D)", style.advice)

    def _encoding_finding(self) -> Finding:
        encoding = self.text.encoding
        if encoding is UTF16_BE and not self.style.wsh:
            detail = "UTF-16 BE, in which PowerShell's SIP finds no signature; save it as it was signed"
            return Finding("encoding", detail, Hresult.TRUST_E_BAD_DIGEST)
        if encoding.certain:
            return Finding("encoding", encoding.name)
        detail = (
            f"characters beyond ASCII without byte order mark, read here as {encoding.name}: where Windows "
            "decodes it differently the digest does not match; save it with a byte order mark and sign it again"
        )
        return Finding("encoding", detail, Hresult.TRUST_E_BAD_DIGEST)


def _changed_line_ends(signed: str, suffix: str) -> Finding:
    back = "unix2dos, or a fresh checkout" if signed == "CRLF" else "a fresh checkout"
    return Finding(
        "line-ends",
        "the line ends were changed after signing, as git does on check-in and check-out: "
        f"with {signed} throughout, the content is what was signed",
        Hresult.TRUST_E_BAD_DIGEST,
        f"Keep git from changing them (*{suffix} -text in .gitattributes) and bring them back ({back}): the signature "
        "then holds again.",
    )


def _changed_mark(*, added: bool) -> Finding:
    change, undo = ("added", "without") if added else ("removed", "with")
    return Finding(
        "byte-order-mark",
        f"the byte order mark (UTF-8) was {change} after signing, as editors do when they save: {undo} it the content "
        "is what was signed",
        Hresult.TRUST_E_BAD_DIGEST,
        f"Save the file {undo} byte order mark, or take it from where it was signed: the signature then holds again.",
    )


def _feed(hashers: Sequence[hashlib._Hash], data: bytes) -> None:
    for hasher in hashers:
        hasher.update(data)


def _refusal(why: str, remedy: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the script can't be signed: {why}", remedy=remedy)
