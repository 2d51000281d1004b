"""Folders to measure with: a release of seven formats, and a tree of very many names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.formats.cab_samples import build_cab
from support.formats.cat_samples import trust_list, unsigned
from support.formats.compound_builder import MSI, Folder, write_compound
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.formats.script_samples import script
from support.formats.zips import Part

IMAGE, SCRIPT = build_pe(), script("ps1")
FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "ps1": lambda mark: SCRIPT + b"# " + mark.hex().encode() + b"\r\n",
    "cab": lambda mark: build_cab(files={"a.txt": mark}),
    "cat": lambda mark: unsigned(trust_list({"a.txt": mark})),
    "app": lambda mark: build_navx(content=b"PK\3\4" + mark),
    "nupkg": lambda mark: package(Part("content/mark.txt", mark)),
}
"""Of each ten files one of each of these and one of Windows Installer's; the others are programs."""


def write_release(folder: Path, number: int) -> None:
    """`number` files in `folder`, all different."""
    for index in range(number):
        mark, kind = index.to_bytes(8, "little"), index % 10
        name = folder / f"{index:05}"
        if kind < len(FORMATS):
            ending, build = [*FORMATS.items()][kind]
            name.with_suffix(f".{ending}").write_bytes(build(mark))
        elif kind == len(FORMATS):
            write_compound(name.with_suffix(".msi"), Folder({"mark": mark}, MSI))
        else:
            name.with_suffix(".dll").write_bytes(IMAGE + mark)


def write_tree(folder: Path, folders: int, files: int, endings: int) -> None:
    """`folders` with so many empty files each, whose names end in .0, .1 and so on in turn."""
    for number in range(folders):
        here = folder / f"project{number % 50}" / f"{'obj' if number % 10 == 0 else 'bin'}{number}"
        here.mkdir(parents=True)
        for index in range(files):
            (here / f"file{index:04}.{index % endings}").touch()
