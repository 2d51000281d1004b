"""A signable format that is nobody's: text whose signatures are lines of JSON after it, and so are not CMS."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, Glimpse, OneDigest, SignableFormat
from kspsign.certificates.parse import parse_certificate
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

MAGIC = b"NOTE\n"
SIGNED = b"\nSIGNED "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """What one line says; see FileSignature. `content` is what was signed."""

    algorithm: DigestAlgorithm
    content: bytes
    value: bytes
    certificates: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    counter_signatures: tuple[bytes, ...] = ()
    further: tuple[bytes, ...] = ()
    countersigners: tuple[NoteSignature, ...] = ()
    sharing: tuple[bytes, ...] = ()
    refused: tuple[str, ...] = ()
    program_name: str | None = None
    program_url: str | None = None
    fault: str | None = None

    @property
    def file_digest(self) -> bytes:
        """The content is the digest in hex."""
        return bytes.fromhex(self.content.decode())

    @property
    def certificate(self) -> bytes | None:
        """The first one."""
        return self.certificates[0] if self.certificates else None

    @property
    def signer_digest_algorithm(self) -> DigestAlgorithm:
        """The same as the file's."""
        return self.algorithm

    def content_fault(self) -> None:
        """The content is signed as it is."""

    def signer_fault(self) -> str | None:
        """Whether the key of the first certificate made the value."""
        if self.certificate is None:
            return "it carries no certificate"
        key, digest = parse_certificate(self.certificate).public_key(), _digest(self.content, self.algorithm)
        return None if signature_holds(key, self.value, digest, self.algorithm, None) else "it does not fit"


@dataclass(frozen=True, slots=True)
class PreparedNote:
    """See PreparedSignature."""

    algorithm: DigestAlgorithm
    content: bytes

    @property
    def digest(self) -> bytes:
        """Of the content."""
        return _digest(self.content, self.algorithm)

    def assemble(self, value: bytes, chain: Sequence[bytes], *, token: bytes | None) -> bytes:
        """The line."""
        return _line(
            {
                "algorithm": self.algorithm.value,
                "content": self.content.decode(),
                "value": _text(value),
                "certificates": [_text(certificate) for certificate in chain],
                "tokens": [] if token is None else [_text(token)],
            }
        )


class NoteProfile:
    """See SignatureProfile."""

    def prepare(self, terms: SigningTerms, content: bytes) -> PreparedNote:
        """The content is signed as it is."""
        return PreparedNote(terms.algorithm, content)

    def add_timestamp(self, signature: bytes, token: bytes) -> bytes:
        """One token more in the line."""
        fields = _fields(signature)
        return _line({**fields, "tokens": [*fields["tokens"], _text(token)]})

    def append(self, signatures: Sequence[bytes], signature: bytes) -> tuple[bytes, ...]:
        """A line more."""
        return (*signatures, signature)

    def replace_further(self, signature: bytes, further: Sequence[bytes]) -> bytes:
        """A line carries no other."""
        raise AssertionError(signature, further)

    def reduce(self, signature: bytes, *, certificates: bool, unsigned_attributes: bool) -> bytes:
        """A line has one certificate, and nothing unsigned but its timestamp."""
        raise AssertionError(signature, certificates, unsigned_attributes)

    def read(self, signature: bytes) -> NoteSignature:
        """What the line says."""
        fields = _fields(signature)
        certificates, tokens = (tuple(map(base64.b64decode, fields[name])) for name in ("certificates", "tokens"))
        return NoteSignature(
            DigestAlgorithm(fields["algorithm"]),
            fields["content"].encode(),
            base64.b64decode(fields["value"]),
            certificates,
            tokens,
        )


@dataclass(frozen=True, slots=True)
class NoteFile(OneDigest):
    """See SignableFile."""

    snapshot: Snapshot
    text: bytes
    signatures: tuple[bytes, ...]

    @classmethod
    def open(cls, snapshot: Snapshot) -> NoteFile:
        """Read it; raises ArtifactError when it does not begin as a note."""
        text, *signatures = (snapshot.whole(1 << 20) or b"").split(SIGNED)
        if not text.startswith(MAGIC):
            raise ArtifactError(Hresult.ERROR_BAD_FORMAT, "it is not a note")
        return cls(snapshot, text, tuple(signatures))

    @property
    def profile(self) -> NoteProfile:
        """That of notes."""
        return NoteProfile()

    def admit(self, _terms: SigningTerms) -> None:
        """Every note can be signed."""

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Of the text."""
        values = {algorithm: _digest(self.text, algorithm) for algorithm in algorithms}
        return Digest(values, self.snapshot.sha256())

    def structure(self, _digest: Digest, signatures: Sequence[NoteSignature]) -> tuple[Finding, ...]:
        """How many lines there are."""
        return (Finding("signature-block", f"{len(signatures)} lines"),)

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """The digest in hex."""
        return digest.values[terms.algorithm].hex().encode()

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """The text, and a line for each of `signatures`."""
        target.write(b"".join((self.text, *(SIGNED + signature for signature in signatures))))


def is_note(glimpse: Glimpse) -> bool:
    """Whether the content begins as a note."""
    return glimpse.head.startswith(MAGIC)


NOTE = SignableFormat(is_note, NoteFile.open)


def changed(path: Path, **fields: str | Sequence[str]) -> None:
    """The note at `path` with other `fields` in its first signature."""
    note = NoteFile.open(Snapshot(path))
    lines = (_line({**_fields(note.signatures[0]), **fields}), *note.signatures[1:])
    with path.open("wb") as target:
        note.embed(Digest({}, ""), lines, target)


def _digest(data: bytes, algorithm: DigestAlgorithm) -> bytes:
    return hashlib.new(algorithm, data).digest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError as broken:
        raise TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, "it is not JSON", check="cms-structure") from broken
    return fields
