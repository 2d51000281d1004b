"""One pass over a container before anything in it is signed: every entry unpacks, and no file in it says what digest
one of those has that are to change.

Such lists are what signing inside would break unseen: the resources of a Blazor app (blazor.boot.json, whose browser
refuses a changed DLL), ClickOnce manifests, checksum files, a feed's .nupkg.sha512, a catalogue with flat digests. They
are found by what they state, whatever their format: a digest in hex or base64, in a catalogue its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from kspsign.authenticode.appx.names import BLOCK_MAP
from kspsign.authenticode.containers.container import Container, ContainerEntry
from kspsign.authenticode.zip import ZipEntry, unpack_pieces
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_MAX_LIST: Final = 8 << 20
"""Bytes of a file that is searched for digests; a list of a hundred thousand files has as many."""
_ALGORITHMS: Final = {"md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
"""By name, with the bytes of a digest."""
_FLAT: Final = frozenset({"sha1", "sha256"})
"""Those of catalogues."""
_TOKENS: Final = (re.compile(rb"[A-Za-z0-9+/]{22,128}"), re.compile(rb"[A-Za-z0-9_-]{22,128}"))
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_LABEL: Final = re.compile(rb"(?:md5|sha\d+)-")


class _Digests:
    """The digests of the files that are to change, as texts and as bytes, each with the file's name."""

    def __init__(self) -> None:
        self.texts: dict[bytes, str] = {}
        self.flat: dict[bytes, str] = {}

    def add(self, name: str, hashers: Iterable[hashlib._Hash]) -> None:
        """Those of the file `name`."""
        for hasher in hashers:
            digest = hasher.digest()
            self.texts[hasher.hexdigest().encode()] = name
            self.texts[base64.b64encode(digest).rstrip(b"=")] = name
            if hasher.name in _FLAT:
                self.flat[digest] = name


def check_content(container: Container, names: Collection[str]) -> None:
    """Raise ArtifactError when an entry does not unpack to what the directory declares (ERROR_BAD_FORMAT), or a file
    states the digest of one of `names`, which are to be signed (ERROR_NOT_SUPPORTED)."""
    rewritten = {BLOCK_MAP, *container.signature_entries}
    stated: dict[bytes, str] = {}
    paths = {entry.entry.number: entry.name for entry in container.entries}
    for entry, pieces in _contents(container):
        path = paths.get(entry.number, "")
        if entry.size <= _MAX_LIST and path not in rewritten and path not in names:
            stated |= dict.fromkeys(_tokens(b"".join(pieces)), path)
        else:
            for _ in pieces:
                pass
    catalogues = [entry for entry in container.entries if entry.name.lower().endswith(".cat")]
    digests = _digests(container, names, _stated_algorithms(stated, catalogues=bool(catalogues)))
    for token in digests.texts.keys() & stated.keys():
        raise _states(stated[token], digests.texts[token])
    for held in catalogues:
        if listed := _listed(container, held, digests.flat):
            raise _states(held.name, listed)


def _stated_algorithms(stated: Collection[bytes], *, catalogues: bool) -> tuple[str, ...]:
    """The algorithms of which a digest may be stated: most containers state none, and nothing need be hashed then."""
    lengths = {len(token) for token in stated}
    return tuple(
        name
        for name, size in _ALGORITHMS.items()
        if not lengths.isdisjoint({2 * size, -(-size * 4 // 3)}) or (catalogues and name in _FLAT)
    )


def _digests(container: Container, names: Collection[str], algorithms: Collection[str]) -> _Digests:
    """Those of the files that are to change."""
    digests = _Digests()
    for name in names if algorithms else ():
        hashers = [hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms]
        for piece in container.pieces(container.by_name[name]):
            for hasher in hashers:
                hasher.update(piece)
        digests.add(name, hashers)
    return digests


def _contents(container: Container) -> Iterator[tuple[ZipEntry, Iterator[bytes]]]:
    """Every entry, and what it unpacks to, which is to be read before the next."""
    with container.snapshot.open() as file:
        for entry in container.archive.entries:
            yield entry, unpack_pieces(file, container.archive, entry)


def _tokens(text: bytes) -> Iterator[bytes]:
    """What may be a digest in it: hex in lower case, base64 without padding; nothing of a binary file."""
    if b"\0" in text:
        return
    plain = _LABEL.sub(b" ", text)  # as subresource integrity has them: "sha256-" and base64
    for tokens in _TOKENS:
        for match in tokens.finditer(plain):
            yield match[0].translate(_URL_SAFE)
            yield match[0].lower()


def _listed(container: Container, entry: ContainerEntry, digests: dict[bytes, str]) -> str | None:
    """The file of which the catalogue `entry` has a flat digest; None when there is none."""
    overlap = b""
    with container.snapshot.open() as file:
        for piece in unpack_pieces(file, container.archive, entry.entry):
            window = overlap + piece
            found = next((name for digest, name in digests.items() if digest in window), None)
            if found is not None:
                return found
            overlap = window[-32:]
    return None


def _states(lister: str, name: str) -> ArtifactError:
    return ArtifactError(
        Hresult.ERROR_NOT_SUPPORTED,
        f"{lister} states the digest of {name}, which would be wrong once that is signed",
        remedy=f"Sign {name} before {lister} is created and packed, or exclude it from those signed inside (!pattern).",
    )
