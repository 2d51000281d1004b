"""Writes a container again with other content in some entries; what signed or listed the old content is rewritten."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.appx.digests import hash_package
from kspsign.authenticode.appx.rewrite import check_rewrite, rewrite
from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import Container, open_container
from kspsign.authenticode.containers.content_check import check_content
from kspsign.authenticode.containers.kinds import MSIX, ContainerKind
from kspsign.authenticode.io.new_file import new_file
from kspsign.authenticode.io.snapshot import CHUNK
from kspsign.authenticode.navx import with_length
from kspsign.authenticode.vsix import VsixFile
from kspsign.authenticode.zip import ArchiveWriter
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_CONTENT_CHECKS = frozenset({"package-content", "block-map"})


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
    _check(container, replacements, drop_signature=drop_signature)
    with _unsigned(container, target.parent) as unsigned, new_file(target) as file:
        _write(unsigned, replacements, file)


def check_rebuild(container: Container, names: Collection[str], *, drop_signature: bool = False) -> None:
    """Raise what can be known of a rebuild with other content in the entries of these names before any of them is
    signed: reads the whole container once.

    Raises ArtifactError like `rebuild`, and: ERROR_BAD_FORMAT when an entry does not unpack to what the directory
    declares, an APPX_E code when a package contradicts its block map, ERROR_NOT_SUPPORTED when a file in it states the
    digest of one that is to change.
    """
    _check(container, names, drop_signature=drop_signature)
    check_content(container, names)
    if container.kind in MSIX:
        for finding in hash_package(container.package, ()).findings:
            if finding.hresult is not None and finding.check in _CONTENT_CHECKS:
                raise ArtifactError(finding.hresult, finding.detail)


def _check(container: Container, names: Collection[str], *, drop_signature: bool) -> None:
    """Raise ArtifactError for what needs no reading of content."""
    if unknown := sorted(set(names) - container.by_name.keys()):
        raise KeyError(unknown[0])
    if container.is_signed and not drop_signature:
        raise ArtifactError(
            Hresult.TRUST_E_BAD_DIGEST,
            "it is signed, and signing what is inside would break its signature",
            remedy="Choose --replace, which signs the inside and then the container again; or exclude it.",
        )
    if container.kind in MSIX:
        check_rewrite(container.package, names)


@contextmanager
def _unsigned(container: Container, folder: Path) -> Iterator[Container]:
    """The container; a signed VSIX package as it is without its signature, which types and relationships speak of, in
    a file in `folder` meanwhile."""
    if container.kind is not ContainerKind.VSIX or not container.is_signed:
        yield container
        return
    file = VsixFile.open(container.snapshot)
    with tempfile.TemporaryDirectory(dir=folder) as private:
        path = Path(private) / "unsigned.vsix"
        with new_file(path) as target:
            file.embed(file.digest(()), (), target)
        yield open_container(path, Bounds())


def _write(container: Container, replacements: Mapping[str, Path], target: BinaryIO) -> None:
    contents = {name: _pieces(path) for name, path in replacements.items()}
    if container.kind in MSIX:
        rewrite(container.package, contents, target)
        return
    names = {entry.entry.number: entry.name for entry in container.entries}
    dropped = container.signature_entries
    with container.snapshot.open() as source:
        header = source.read(container.archive.start)
        target.write(header)
        writer = ArchiveWriter(container.archive, source, target)
        for entry in container.archive.entries:
            name = names.get(entry.number, "")
            if name in contents:
                writer.replace(entry, contents[name])
            elif name not in dropped:
                writer.keep(entry)
        writer.finish()
    if container.kind is ContainerKind.APP:
        length = target.tell() - len(header)
        target.seek(0)
        target.write(with_length(header, length))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
