"""Archives of Info-ZIP, 7-Zip and Python in all their ways, written again: the same to the byte without a replacement,
with one the same but for its entry. The packers' own programs read the result."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import IO, TYPE_CHECKING

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.rebuild import rebuild
from support.formats.repacked import differing, readers_accept

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FOLDERS = ("", "lib/net8.0/", "Größe & 100%/", "a b/")


def _tree(folder: Path, random: Random) -> list[Path]:
    files = []
    for number in range(random.randrange(1, 7)):
        path = folder / (random.choice(FOLDERS) + f"{number}.dll")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(random.choice([0, 9, 40_000])) + b"\0" * random.randrange(90_000))
        path.chmod(random.choice([0o644, 0o755]))
        files.append(path)
    return files


def _info_zip(*options: str) -> Callable[[Path, Path], None]:
    return lambda folder, target: _run(["zip", "-q", *options, "-r", str(target), "."], folder)


def _streamed(folder: Path, target: Path) -> None:
    with target.open("wb") as file:
        subprocess.run(["zip", "-q", "-r", "-", "."], cwd=folder, check=True, stdout=file)


def _commented(folder: Path, target: Path) -> None:
    _run(["zip", "-q", "-r", str(target), "."], folder)
    subprocess.run(["zip", "-q", "-z", str(target)], input=b"as released\n", check=True)


def _seven_zip(*options: str) -> Callable[[Path, Path], None]:
    return lambda folder, target: _run(["7zz", "a", "-bd", "-bso0", "-tzip", *options, str(target), "."], folder)


def _python(folder: Path, target: Path) -> None:
    with target.open("wb") as file, zipfile.ZipFile(Unseekable(file), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())


class Unseekable(io.RawIOBase):
    """A stream, into which sizes can't be written afterwards: they follow the data."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return self._file.write(data)


PACKERS: dict[str, Callable[[Path, Path], None]] = {
    "zip": _info_zip(),
    "zip stored": _info_zip("-0"),
    "zip best": _info_zip("-9"),
    "zip fast, without extra fields": _info_zip("-1", "-X"),
    "zip with Zip64": _info_zip("-fz"),
    "zip with data descriptors": _info_zip("-fd"),
    "zip without folders": _info_zip("-D"),
    "zip to a stream": _streamed,
    "zip with a comment": _commented,
    "7-Zip": _seven_zip(),
    "7-Zip stored": _seven_zip("-mx0"),
    "7-Zip best": _seven_zip("-mx9"),
    "7-Zip, UTF-8 names": _seven_zip("-mcu=on"),
    "7-Zip, NTFS times": _seven_zip("-mtc=on", "-mta=on"),
    "Python to a stream": _python,
}


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("seed", range(2))
def test_only_the_replaced_entry_changes(packer: str, seed: int, tmp_path: Path) -> None:
    random = Random(f"{packer} {seed}")  # noqa: S311 - the same archives each time
    folder, path, target = tmp_path / "tree", tmp_path / "some.zip", tmp_path / "signed.zip"
    folder.mkdir()
    files = _tree(folder, random)
    PACKERS[packer](folder, path)
    container = open_container(path, Bounds())
    assert {entry.name for entry in container.entries} == {file.relative_to(folder).as_posix() for file in files}
    rebuild(container, {}, target)
    assert target.read_bytes() == path.read_bytes()
    target.unlink()

    entry = random.choice(container.entries)
    signed = tmp_path / "signed.dll"
    container.extract(entry, signed)
    assert signed.read_bytes() == (folder / entry.name).read_bytes()
    signed.write_bytes(signed.read_bytes() + random.randbytes(7000))
    rebuild(container, {entry.name: signed}, target)
    assert differing(path, target) == {_stored_name(path, entry.name)}
    readers_accept(target)
    with zipfile.ZipFile(target) as archive:
        assert archive.read(_stored_name(path, entry.name)) == signed.read_bytes()


def _stored_name(path: Path, name: str) -> str:
    """The name as Python has it: some packers write "./" before it, Info-ZIP writes UTF-8 without a word on it."""
    with zipfile.ZipFile(path) as archive:
        names = {info.orig_filename: info.flag_bits & 0x800 for info in archive.infolist()}
    decoded = {stored: stored if utf8 else stored.encode("cp437").decode() for stored, utf8 in names.items()}
    return next(stored for stored, real in decoded.items() if real.removeprefix("./") == name)
