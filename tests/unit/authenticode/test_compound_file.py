"""Compound files: what is found in them, every contradiction that is refused, and that damage does nothing worse."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from kspsign.authenticode.compound import CompoundFile, write_anew
from kspsign.authenticode.compound.directory import balanced, same_name
from kspsign.authenticode.compound.header import END, FREE, Header
from kspsign.authenticode.compound.layout import plan
from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.msi import MsiFile
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Format
from support.formats.compound_builder import MSI, Folder, Zeros, write_compound
from support.formats.msi_samples import patch_tree, tree_of

TREE = patch_tree(odd=b"odd")
NAME = "name".encode("utf-16-le")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.msp"


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize("pieces", [False, True])
def test_all_is_found_and_written_anew(path: Path, major: int, pieces: bool) -> None:
    write_compound(path, TREE, major=major, pieces=pieces)
    anew = path.with_name("anew")
    added = {NAME: b"new" * 9, "odd".encode("utf-16-le"): b"even" * 2000}
    with anew.open("wb") as out:
        write_anew(CompoundFile.open(Snapshot(path)), added, out)
    assert tree_of(path) == TREE
    assert tree_of(anew) == Folder({**TREE.children, "name": b"new" * 9, "odd": b"even" * 2000}, TREE.class_id)
    compound = CompoundFile.open(Snapshot(anew))
    assert compound.header.major == major
    assert not list(compound.fat.unclaimed())
    assert not list(compound.hidden())
    assert all(storage.sorted for storage in compound.root.walk())


def test_a_last_sector_that_is_cut_behind_its_content(path: Path) -> None:
    """Some writers don't fill the last sector of a file with large sectors."""
    write_compound(path, Folder({"cab": b"x" * 5000}, class_id=MSI), major=4)
    whole = path.read_bytes()
    path.write_bytes(whole[: 5000 % 4096 - 4096])
    assert tree_of(path).children["cab"] == b"x" * 5000
    path.write_bytes(whole[: 5000 % 4096 - 4097])
    with pytest.raises(ArtifactError, match="cut off"):
        CompoundFile.open(Snapshot(path))


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize("last", ["directory", "FAT", "mini FAT", "mini stream"])
def test_a_last_sector_of_a_table_that_is_cut_behind_its_content(path: Path, major: int, last: str) -> None:
    """msiinfo and olefile read such files too: writers that don't fill the last sector have no reason to."""
    tree = Folder({**TREE.children, "end": b"e" * 70}, class_id=MSI)
    write_compound(path, tree, major=major)
    sector = 512 if major == 3 else 4096
    data = bytearray(path.read_bytes())
    moved, kept = _moved_to_the_end(data, sector, last)
    path.write_bytes(moved[: len(moved) - sector + kept])
    assert tree_of(path) == tree
    path.write_bytes(moved[: len(moved) - sector + kept - 1])
    if last != "mini stream":
        return
    with pytest.raises(ArtifactError, match="cut off"):
        CompoundFile.open(Snapshot(path))


def _moved_to_the_end(data: bytearray, sector: int, what: str) -> tuple[bytes, int]:
    """The file with the last sector of a table or of the mini stream at its end, and how many bytes of it are used.

    The FAT is in the first sector and has room for one number more.
    """

    def get(at: int) -> int:
        return int(struct.unpack_from("<I", data, at)[0])

    def place(number: int) -> int:
        return (number + 1) * sector

    fat, count = place(get(76)), len(data) // sector - 1
    directory = place(get(48))
    heads = {"directory": 48, "FAT": 76, "mini FAT": 60, "mini stream": directory + 116}
    link, number = heads[what], get(heads[what])
    while what != "FAT" and get(fat + 4 * number) != END:
        link, number = fat + 4 * number, get(fat + 4 * number)
    content = bytes(data[place(number) : place(number + 1)])
    struct.pack_into("<I", data, fat + 4 * count, get(fat + 4 * number))
    struct.pack_into("<I", data, fat + 4 * number, FREE)
    struct.pack_into("<I", data, link, count)
    if what == "FAT":
        content = bytes(data[fat : fat + sector])
    used = len(content.rstrip(b"\0" if what in {"directory", "mini stream"} else b"\xff"))
    used = -(-used // 128) * 128 if what == "directory" else used
    if what == "mini stream":
        used = (
            (struct.unpack_from("<I", data, directory + 120)[0] - 1) % sector + 1 - 48
        )  # the last stream has 400 bytes
    data[place(number) : place(number + 1)] = bytes(sector)
    return bytes(data + content), used


def test_a_mini_stream_that_ends_with_its_content(path: Path) -> None:
    """Some writers give its size without what fills the last mini sector."""
    tree = Folder({"a": b"a" * 70, "b": b"b" * 70}, class_id=MSI)
    write_compound(path, tree)
    data = bytearray(path.read_bytes())
    entry("Root Entry", 120, struct.pack("<I", 128 + 70))(data)
    path.write_bytes(data)
    assert tree_of(path) == tree


def number(offset: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into("<I", data, offset, value)


def entry(name: str, field: int, value: bytes) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        at = data.index(name.encode("utf-16-le") + b"\0\0") + field
        data[at : at + len(value)] = value

    return change


def follow(name: str, step: int, value: Callable[[int], int]) -> Callable[[bytearray], None]:
    """Change what follows the `step`-th sector of a large stream; the FAT is in the first sectors."""

    def change(data: bytearray) -> None:
        at = data.index(name.encode("utf-16-le") + b"\0\0") + 116
        sector = struct.unpack_from("<I", data, at)[0] + step
        struct.pack_into("<I", data, 512 + sector * 4, value(sector))

    return change


WRONG: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "version 5": (number(26, 0xFFFE0005), "version 5"),
    "more FAT sectors counted": (number(44, 2), "past the end"),
    "more FAT sectors than the file has": (number(44, 0xFFFFFF), "truncated"),
    "fewer FAT sectors counted": (number(44, 0), "lists more"),
    "a DIFAT that is not there": (number(72, 1), "past the end"),
    "a FAT sector that is none": (number(76, 3), "not marked"),
    "no FAT sector": (number(76, FREE), "past the end"),
    "a directory outside": (number(48, 0x10000), "past the end"),
    "a directory in the FAT": (number(48, 0), "past the end|has sectors"),
    "a mini FAT outside": (number(60, 0x10000), "past the end"),
    "a mini FAT not counted": (number(64, 9), "counts 9 mini FAT"),
    "directory sectors in version 3": (number(40, 1), "does not"),
    "a chain that loops": (follow("PCW_CAB", 3, lambda sector: sector - 2), "or loops"),
    "a chain that ends early": (follow("PCW_CAB", 3, lambda _: END), "has 4 sectors"),
    "a chain into another stream": (follow("PCW_CAB", 3, lambda _: 1), "has sectors"),
    "a chain into free sectors": (follow("PCW_CAB", 3, lambda _: FREE), "past the end"),
    "a chain behind the end": (follow("PCW_CAB", 3, lambda _: 0x7000), "past the end"),
    "a stream longer than its chain": (entry("PCW_CAB", 120, struct.pack("<I", 50000)), "has 79 sectors"),
    "a stream shorter than its chain": (entry("PCW_CAB", 120, struct.pack("<I", 5000)), "has 79 sectors"),
    "a large stream called small": (entry("PCW_CAB", 120, struct.pack("<I", 50)), "mini FAT"),
    "a small stream called large": (entry("odd", 120, struct.pack("<I", 5000)), "has sectors|has .* sectors"),
    "a small stream outside": (entry("odd", 116, struct.pack("<I", 9999)), "mini FAT leads"),
    "two with the same small sectors": (entry("odd", 116, struct.pack("<I", 0)), "something else|has .* sectors"),
    "a child that is the root": (entry("Root Entry", 76, struct.pack("<I", 0)), "occurs in it twice"),
    "a child outside": (entry("Root Entry", 76, struct.pack("<I", 5000)), "does not exist"),
    "siblings in a ring": (entry("odd", 72, struct.pack("<I", 1)), "twice"),
    "a second root": (entry("odd", 66, b"\5"), "second root"),
    "a kind that is none": (entry("odd", 66, b"\3"), "no known kind"),
    "a name without its end": (entry("odd", 64, b"\4"), "proper name"),
    "a name of odd length": (entry("odd", 64, b"\7"), "proper name"),
    "a name with a zero": (entry("PCW_CAB", 4, b"\0\0"), "proper name"),
    "a name that is there already": (entry("odd", 0, "ABC\0".encode("utf-16-le")), "are the same"),
    "a stream with children": (entry("odd", 76, struct.pack("<I", 1)), "only storages"),
    "a storage with content": (entry("aTransform", 120, b"\1"), "only streams"),
    "a root of another name": (entry("Root Entry", 0, b"r"), "root entry"),
    "a mini stream that is too long": (entry("Root Entry", 121, b"\xff"), "the mini stream"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_a_contradiction_is_refused(change: Callable[[bytearray], None], words: str, path: Path) -> None:
    write_compound(path, Folder({**TREE.children, "abc": b"abc"}, MSI))
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=words) as caught:
        CompoundFile.open(Snapshot(path))
    assert caught.value.hresult is Hresult.ERROR_BAD_FORMAT


def test_directory_sectors_that_version_4_miscounts(path: Path) -> None:
    """Readers of Windows stop after as many: entries behind them would be lost."""
    write_compound(path, TREE, major=4)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 40, 2)
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="counts 2 directory sectors"):
        CompoundFile.open(Snapshot(path))


def test_storages_too_deep(path: Path) -> None:
    tree = Folder({})
    for _ in range(40):
        tree = Folder({"deeper": tree}, class_id=MSI)
    write_compound(path, tree)
    with pytest.raises(ArtifactError, match="nested deeper"):
        CompoundFile.open(Snapshot(path))


def test_damage_raises_nothing_else(path: Path) -> None:
    """Bytes of the structures changed or cut off at random: an ArtifactError, or it can be read to the end."""
    write_compound(path, Folder({**TREE.children, "\5DigitalSignature": b"\x30\x00"}, MSI))
    whole, chance, refused = path.read_bytes(), random.Random(20), 0  # noqa: S311 - the same damage each time
    directory = whole.index("Root Entry".encode("utf-16-le"))
    structures = [*range(84), *range(512, 512 + len(whole) // 128), *range(directory, directory + 14 * 128)]
    for _ in range(800):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.choice(structures)
            data[at] = chance.choice((0, 1, 0xFE, 0xFF, data[at] ^ 1 << chance.randrange(8)))
        if chance.random() < 0.1:
            del data[chance.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            opened = MsiFile.open(Snapshot(path))
            opened.structure(opened.digest([DigestAlgorithm.SHA256]), ())
        except ArtifactError:
            refused += 1
    assert 300 < refused < 800


@pytest.mark.parametrize(("content", "expected"), [(MSI, Format.MSI), (bytes(16), None)])
def test_it_is_told_by_the_class_of_its_root(content: bytes, expected: Format | None, path: Path) -> None:
    write_compound(path, Folder({}, content))
    head = path.read_bytes()[:4096]
    assert detect_format(Glimpse(path, head, len(head))) is expected
    if expected is None:
        with pytest.raises(ArtifactError, match="not an MSI or MSP"):
            open_signable(path, None)


@pytest.mark.parametrize(("name", "expected"), [("some.MSI", Format.MSI), ("some.doc", None)])
def test_where_the_root_is_cut_off_the_name_tells(name: str, expected: Format | None, tmp_path: Path) -> None:
    path = tmp_path / name
    write_compound(path, TREE)
    path.write_bytes(path.read_bytes()[:700])
    assert detect_format(Glimpse(path, path.read_bytes(), 700)) is expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 8, 40, 1000])
def test_the_tree_is_red_and_black(count: int) -> None:
    names = [f"{index:x}".encode("utf-16-le") for index in range(count)]
    top, links = balanced(names, range(1, count + 1))

    def blacks(number: int, parent_is_red: bool) -> int:
        if number == FREE:
            return 1
        link = links[number]
        red = link.color == 0
        assert not (red and parent_is_red)
        left, right = blacks(link.left, red), blacks(link.right, red)
        assert left == right
        return left + (not red)

    assert links[top].color == 1
    assert blacks(top, True)
    assert len(links) == count


def test_names_are_compared_in_upper_case() -> None:
    assert same_name("Straße".encode("utf-16-le"), "STRAßE".encode("utf-16-le"))
    assert not same_name("ab".encode("utf-16-le"), "abc".encode("utf-16-le"))


def test_no_stream_has_the_range_locks_sector() -> None:
    """MS-CFB §2.8: it covers offsets 0x7FFFFF00 to 0x7FFFFFFF of files with large sectors."""
    lock = 0x7FFFFF00 // 4096 - 1
    header = Header(0x3E, 4, 1, 1, 0, 0, END, 0, END, 0, (0,))
    assert header.offset(lock) <= 0x7FFFFF00 < header.offset(lock + 1)
    for before in (lock, lock - 1, lock - 2, lock + 1):
        layout = plan(header, [before * 4096, 5000, 10], 4)
        assert layout.fat[lock] == END
        assert lock not in layout.difat
        assert lock not in {value for value in layout.fat if value < FREE - 4}
        assert layout.starts[1] != lock
    assert len(plan(header, [10 * 4096], 4).fat) < 20


def test_a_file_of_version_3_ends_at_2_gib(path: Path) -> None:
    """Refused before a signature is spent; the file is a hole of nearly 2 GiB."""
    fat = (1 << 31) // 512 // 128
    tables = (1 + fat + -(-(fat - 109) // 127) + 2) * 512
    write_compound(path, Folder({"cab": Zeros((1 << 31) - tables)}, MSI))
    opened = MsiFile.open(Snapshot(path))
    with pytest.raises(ArtifactError, match="2 GiB"):
        opened.admit(SigningTerms(DigestAlgorithm.SHA256, ()))
    out = io.BytesIO()
    with pytest.raises(ArtifactError, match="2 GiB"):
        write_anew(opened.compound, {NAME: bytes(4096)}, out)
    assert not out.getvalue()
    path.unlink()
