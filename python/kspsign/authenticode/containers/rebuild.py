"""Writes a container again with other content in some entries; what signed or listed the old content is rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.containers.container import Container
from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.io.new_file import new_file
from kspsign.authenticode.io.snapshot import CHUNK
from kspsign.authenticode.zip import ArchiveWriter
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult


def rebuild(
    container: Container, replacements: Mapping[str, Path], target: Path, *, drop_signature: bool = False
) -> None:
    """Write the container to the new file `target`, with the content of the `replacements` in the entries of these
    names. Entries keep order, attributes, dates, method, comments and extra fields; those that are not replaced keep
    their packed bytes. The same input gives the same output. Nothing is left of `target` when it fails.

    A container's own signature covers what is replaced: it is refused unless `drop_signature`, with which the result
    has none, and is to be signed again.

    Raises ArtifactError: TRUST_E_BAD_DIGEST for a signature that would be broken, ERROR_NOT_SUPPORTED for a container
    that can't be written again; OSError.
    """
    check_rebuild(container, replacements, drop_signature=drop_signature)
    with container.snapshot.open() as source, new_file(target) as file:
        _write(container, replacements, source, file)


def check_rebuild(container: Container, names: Mapping[str, Path] | frozenset[str], *, drop_signature: bool) -> None:
    """Raise what `rebuild` would raise for entries of these names, as far as it is known before they are signed."""
    if unknown := sorted(set(names) - container.by_name.keys()):
        raise KeyError(unknown[0])
    if container.signature_entries and not drop_signature:
        raise ArtifactError(
            Hresult.TRUST_E_BAD_DIGEST,
            "it is signed, and signing what is inside would break its signature",
            remedy="Choose --replace, which signs the inside and then the container again; or exclude it.",
        )
    if container.kind not in _PLAIN:
        raise ArtifactError(Hresult.ERROR_NOT_SUPPORTED, f"a {container.kind} can't be written again yet")


_PLAIN = frozenset({ContainerKind.ZIP, ContainerKind.NUPKG, ContainerKind.SNUPKG})


def _write(container: Container, replacements: Mapping[str, Path], source: BinaryIO, target: BinaryIO) -> None:
    writer = ArchiveWriter(container.archive, source, target)
    names = {entry.entry.number: entry.name for entry in container.entries}
    dropped = container.signature_entries
    for entry in container.archive.entries:
        name = names.get(entry.number, "")
        if name in dropped:
            continue
        if name in replacements:
            writer.replace(entry, _pieces(replacements[name]))
        else:
            writer.keep(entry)
    writer.finish()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
