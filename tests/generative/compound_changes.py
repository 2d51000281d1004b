"""Changes of a compound file: its tree, written again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from generative.file_changes import FileChange
from support.formats.compound_builder import Folder, Zeros, write_compound
from support.formats.msi_samples import tree_of


def compound_changes(data: bytes) -> Iterator[FileChange]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "signed.msi"
        path.write_bytes(data)
        root = tree_of(path)
    yield FileChange("rewrite", "the same tree", -1, partial(_compound, root))
    yield FileChange("rewrite", "in version 4", -1, partial(_compound, root, major=4))
    yield FileChange("rewrite", "in pieces", -1, partial(_compound, root, pieces=True))
    added: dict[str, bytes | Zeros | Folder] = {
        "added": b"payload",
        "empty": b"",
        "large": bytes(5000),
        "\5DigitalSignature2": b"payload",
        "folder": Folder({}),
        "full": Folder({"inside": b"payload"}),
        "\5digitalsignature": b"payload",
    }
    for name, content in added.items():
        yield FileChange("stream", f"{name!r} added", -1, partial(_compound, _with(root, {name: content})))
    for name, content in root.children.items():
        kept = {key: value for key, value in root.children.items() if key != name}
        yield FileChange("stream", f"{name!r} dropped", -1, partial(_compound, replace(root, children=kept)))
        moved = {**kept, "folder": Folder({name: content})}
        yield FileChange("stream", f"{name!r} in a folder", -1, partial(_compound, replace(root, children=moved)))
        for other, its in root.children.items():
            if name < other and its != content:
                swapped = _with(root, {name: its, other: content})
                yield FileChange("stream", f"{name!r} and {other!r} swapped", -1, partial(_compound, swapped))
        if not isinstance(content, bytes):
            continue
        for what, new in {"longer": content + b"\0", "shorter": content[:-1], "empty": b""}.items():
            yield FileChange("stream", f"{name!r} {what}", -1, partial(_compound, _with(root, {name: new})))
        renamed = {**kept, name + "2": content}
        yield FileChange("stream", f"{name!r} renamed", -1, partial(_compound, replace(root, children=renamed)))
        doubled = {**renamed, name: content}
        yield FileChange("stream", f"{name!r} doubled", -1, partial(_compound, replace(root, children=doubled)))
        for again in {name.upper(), name.lower(), name.swapcase()} - {name}:
            twice = _with(root, {again: content})
            yield FileChange("stream", f"{name!r} and {again!r}", -1, partial(_compound, twice))
            recased = replace(root, children={**kept, again: content})
            yield FileChange("stream", f"{name!r} as {again!r}", -1, partial(_compound, recased))
        stored = replace(root, children={**kept, name: Folder({"\5": content})})
        yield FileChange("stream", f"{name!r} a storage", -1, partial(_compound, stored))
        cut = {**kept, name: content[: len(content) // 2], name + "\1": content[len(content) // 2 :]}
        yield FileChange("stream", f"{name!r} in two", -1, partial(_compound, replace(root, children=cut)))
    yield FileChange("storage", "state", -1, partial(_compound, replace(root, state=b"\1\0\0\0")))
    yield FileChange("storage", "class", -1, partial(_compound, replace(root, class_id=root.class_id[::-1])))


def _with(root: Folder, more: Mapping[str, bytes | Zeros | Folder]) -> Folder:
    return replace(root, children={**root.children, **more})


def _compound(root: Folder, *, major: int = 3, pieces: bool = False) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.msi"
        write_compound(path, root, major=major, pieces=pieces)
        return path.read_bytes()
