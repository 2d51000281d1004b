"""What is fuzzed: every parser of content that others wrote, each behind one function that takes bytes.

A target raises nothing but this project's errors, ends in time, and takes no more memory than a small multiple of
its input; what it accepts must hold together: a file that can be embedded into opens again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kspsign.authenticode.cms.file_signature import read_signature
from kspsign.authenticode.cms.profile import AUTHENTICODE
from kspsign.authenticode.cms.timestamp import check_reply, make_query, read_token
from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.payload import find_payloads
from kspsign.authenticode.containers.rebuild import check_rebuild, rebuild
from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Glimpse
from kspsign.certificates.parse import outline
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.errors import KspSignError, TimestampError
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier

ALGORITHM = DigestAlgorithm.SHA256
SIGNATURE = b"a signature value"


@dataclass(frozen=True)
class Target:
    """A parser with whole, good inputs to start from; `is_der` when those are DER."""

    feed: Callable[[bytes], None]
    samples: tuple[bytes, ...]
    is_der: bool = False


class FileTarget:
    """Everything that is done with a file of one format: told, opened, hashed, admitted, embedded, verified."""

    def __init__(self, kind: Format, folder: Path, suffix: str, authority: EmbeddedAuthority) -> None:
        self._kind = kind
        self._path = folder / f"input{suffix}"
        self._copy = folder / f"copy{suffix}"
        self._terms = SigningTerms(ALGORITHM, authority.signing_chain)
        anchors = TrustAnchors.from_certificates(authority.signing_chain[-1:])
        self._verifier = Verifier(Trust(anchors, anchors, timestamp_required=True))

    def feed(self, data: bytes) -> None:
        """Put `data` through; raises what is not an error of ours."""
        self._path.write_bytes(data)
        told = detect_format(Glimpse(self._path, data[:4096], len(data)))
        with contextlib.suppress(KspSignError):
            self._sign(told or self._kind)
        verification = self._verifier.verify(self._path, self._kind)
        assert verification.verdict.result in {"verified", "failed"}

    def _sign(self, kind: Format) -> None:
        file = open_signable(self._path, kind)
        file.admit(self._terms)
        digest = file.digest([ALGORITHM])
        content = file.content(self._terms, digest)
        assert content
        with self._copy.open("wb") as out:
            file.embed(digest, file.signatures[:1] or (b"\x30\x00",), out)
        again = open_signable(self._copy, kind)
        assert again.digest([ALGORITHM]).values == digest.values, "embedding changed what is signed"


class ContainerTarget:
    """What is done with a container: opened, checked, unpacked, and written again around a changed file."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._path, self._again = folder / f"input{suffix}", folder / f"again{suffix}"
        self._new, self._out = folder / "new", folder / "out"
        self._new.write_bytes(SIGNATURE * 9000)

    def feed(self, data: bytes) -> None:
        """Put `data` through; raises what is not an error of ours."""
        for path in (self._again, self._out):
            path.unlink(missing_ok=True)
        self._path.write_bytes(data)
        with contextlib.suppress(KspSignError):
            container = open_container(self._path, Bounds(entries=100, unpacked=1 << 24))
            for entry in container.entries[:1]:
                check_rebuild(container, [entry.name], drop_signature=True)
                rebuild(container, {entry.name: self._new}, self._again, drop_signature=True)
                again = open_container(self._again, Bounds())
                again.extract(again.by_name[entry.name], self._out)
                assert self._out.read_bytes() == self._new.read_bytes(), "what was put in is not what is taken out"


def payload_target(kind: Format, folder: Path, sample: bytes) -> Target:
    """What a file that is not a container holds."""
    path = folder / "input"

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(KspSignError):
            find_payloads(Snapshot(path), kind)

    return Target(feed, (sample,))


def signature_target(samples: tuple[bytes, ...]) -> Target:
    """The CMS of a signature, read by itself."""

    def feed(data: bytes) -> None:
        with contextlib.suppress(KspSignError):
            signature = read_signature(data, AUTHENTICODE)
            for token in signature.tokens:
                read_token(token, signature.message.signer.value)

    return Target(feed, samples, is_der=True)


def reply_target(samples: tuple[bytes, ...]) -> Target:
    """What a timestamp server answers."""
    query = make_query(SIGNATURE, ALGORITHM)

    def feed(data: bytes) -> None:
        with contextlib.suppress(KspSignError, TimestampError):
            check_reply(data, query, SIGNATURE)

    return Target(feed, samples, is_der=True)


def certificate_target(samples: tuple[bytes, ...]) -> Target:
    """A certificate's outline, which no library reads for us."""

    def feed(data: bytes) -> None:
        with contextlib.suppress(KspSignError):
            outline(data)

    return Target(feed, samples, is_der=True)
