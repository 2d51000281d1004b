"""Archives made to harm: each is refused when it is opened or checked, by a message that names what is wrong in it."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from random import Random

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.names import plain_path
from kspsign.authenticode.containers.rebuild import check_rebuild
from kspsign.model.errors import ArtifactError
from support.formats.navx_samples import build_navx
from support.formats.zips import Part, build_zip


def _with(*names: str, mode: int = 0, method: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo()
            info.filename, info.external_attr, info.compress_type = name, mode << 16, method
            archive.writestr(info, b"content")
    return packed.getvalue()


def _patched(field: str, offset: int, *, central: int | None = None, local: int | None = None) -> bytes:
    """An archive whose first entry has another number in one or both of its headers."""
    data = bytearray(build_zip([Part("a.dll", b"MZ" * 99), Part("b.dll", b"MZ")]))
    if local is not None:
        struct.pack_into(field, data, offset, local)
    if central is not None:
        struct.pack_into(field, data, data.index(b"PK\1\2") + offset + 2, central)
    return bytes(data)


def _overlapping() -> bytes:
    """The second entry's record points to the first one's data, as in a bomb whose entries share one kernel."""
    data = bytearray(build_zip([Part("a.dll", b"MZ"), Part("b.dll", b"MZ")]))
    second = data.rindex(b"PK\1\2")
    struct.pack_into("<I", data, second + 42, 0)
    return bytes(data)


def _unicode_name(name: bytes, crc: int | None = None, raw: bytes = b"a.dll") -> bytes:
    """The extra field by which the entry `raw` has another name."""
    value = b"\1" + struct.pack("<I", zlib.crc32(raw) if crc is None else crc) + name
    return struct.pack("<2H", 0x7075, len(value)) + value


def _renamed(name: bytes, crc: int | None = None) -> bytes:
    """An entry "a.dll" whose Unicode name is another one."""
    return build_zip([Part("a.dll", extra=_unicode_name(name, crc)), Part("b.dll")])


def _renamed_locally(name: bytes) -> bytes:
    """The same, but in its local header alone."""
    field = _unicode_name(name)
    data = bytearray(build_zip([Part("a.dll", extra=field)]))
    record = data.index(b"PK\1\2")
    struct.pack_into("<H", data, record + 46 + len("a.dll"), 0x7076)
    return bytes(data)


def _bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dll", bytes(80 << 20))
    return packed.getvalue()


def _doubly_ended(after: bytes = b"") -> bytes:
    inner = build_zip([Part("a.dll", b"MZ")])
    comment = inner[inner.index(b"PK\5\6") :]
    return build_zip([Part("b.dll", b"MZ")], comment=b"note" + comment + after)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "climbs": (lambda: _with("../a.dll"), "leads out of the package"),
    "climbs by backslash": (lambda: _with("a\\..\\..\\b.dll"), "leads out of the package"),
    "absolute": (lambda: _with("/etc/a.dll"), "leads out of the package"),
    "absolute by backslash": (lambda: _with("\\server\\a.dll"), "leads out of the container"),
    "drive": (lambda: _with("c:/windows/a.dll"), "leads out of the container"),
    "NUL": (lambda: build_zip([Part("a.dll\0.txt", b"")]), "NUL"),
    "control character": (lambda: _with("a\nb.dll"), "control character"),
    "twice": (lambda: build_zip([Part("a.dll"), Part("a.dll")]), "occurs twice"),
    "case": (lambda: _with("lib/A.dll", "lib/a.dll"), "one file on Windows"),
    "slash": (lambda: _with("lib/a.dll", "lib\\a.dll"), "one file on Windows"),
    "dot": (lambda: _with("lib/a.dll", "lib/./a.dll"), "one file on Windows"),
    "dot at the end": (lambda: _with("a.ps1."), "Windows drops the dot or space"),
    "space at the end": (lambda: _with("a.ps1 "), "Windows drops the dot or space"),
    "space at the end of a folder": (lambda: _with("lib /a.ps1"), "Windows drops the dot or space"),
    "climbs by dots and a space": (lambda: _with("a/.. /.. /b.txt"), "Windows drops the dot or space"),
    "stream": (lambda: _with("a.txt:b.ps1"), "a stream of a file on Windows"),
    "default stream": (lambda: _with("a.ps1::$DATA"), "a stream of a file on Windows"),
    "long": (lambda: _with("a" * 256), "longer than a name may be"),
    "composed": (lambda: _with("\u00e9.dll", "e\u0301.dll"), "one file on Windows"),
    "file and folder": (lambda: _with("a", "a/b.dll"), "is a file, and the folder of"),
    "Unicode name": (lambda: _renamed(b"a.dll", crc=0), "is that of another one"),
    "climbs by its Unicode name": (lambda: _renamed(b"../a.dll"), "leads out of the package"),
    "another Unicode name": (lambda: _renamed(b"a.txt"), "could take it for either"),
    "another folder by its Unicode name": (lambda: _renamed(b"vendor/a.dll"), "could take it for either"),
    "another extension by its Unicode name": (
        lambda: _renamed("a.\u0501ll".encode()),
        "could take it for either",
    ),
    "another Unicode name in one header": (lambda: _renamed_locally(b"a.txt"), "contradict each other in its Unicode"),
    "Unicode name twice": (lambda: _renamed("\uff42.dll".encode()).replace(b"b.dll", b"A.dll"), "one file on Windows"),
    "folder with content": (lambda: build_zip([Part("lib/", b"MZ")]), "is a folder, and has content"),
    "symbolic link": (lambda: _with("a.dll", mode=stat.S_IFLNK | 0o777), "symbolic link"),
    "device": (lambda: _with("a.dll", mode=stat.S_IFCHR | 0o666), "neither a file nor a folder"),
    "encrypted": (lambda: _patched("<H", 6, central=1, local=1), "is encrypted"),
    "method": (lambda: _with("a.dll", method=zipfile.ZIP_LZMA), "compression method 14"),
    "two methods": (lambda: _patched("<H", 8, central=8), "contradict each other"),
    "two names": (lambda: build_zip([Part("a.dll")]).replace(b"a.dll", b"b.dll", 1), "contradict each other"),
    "size": (lambda: _patched("<I", 22, central=999, local=999), "can't unpack to its declared size"),
    "overlapping": (_overlapping, "has no room for its data"),
    "between": (
        lambda: build_zip([Part("a.dll", b"MZ")]).replace(b"MZ", b"MZMZ"),
        "does not end where its end-of-directory record begins",
    ),
    "appended": (lambda: build_zip([Part("a.dll")]) + b"MZ", "bytes follow it"),
    "cut off": (lambda: build_zip([Part("a.dll", b"MZ" * 99)])[:-30], "cut off"),
    "two ends": (_doubly_ended, "two end-of-directory records"),
    "an end that does not reach the end": (lambda: _doubly_ended(b"!"), "two end-of-directory records"),
    "ratio": (_bomb, "a decompression bomb"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused(what: str, tmp_path: Path) -> None:
    make, words = HOSTILE[what]
    path = tmp_path / "some.zip"
    path.write_bytes(make())
    with pytest.raises(ArtifactError, match=words) as refused:
        open_container(path, Bounds())
    assert refused.value.remedy


def test_content_beyond_what_the_directory_declares_is_never_unpacked(tmp_path: Path) -> None:
    path, target = tmp_path / "some.zip", tmp_path / "out"
    data = bytearray(build_zip([Part("a.dll", b"MZ" * 99, deflate=True), Part("b.dll", b"MZ")]))
    for at in (22, data.index(b"PK\1\2") + 24):
        struct.pack_into("<I", data, at, 50)
    path.write_bytes(data)
    container = open_container(path, Bounds())
    with pytest.raises(ArtifactError, match=r"a\.dll unpacks to more"):
        container.extract(container.entries[0], target)
    assert not target.exists()
    with pytest.raises(ArtifactError, match=r"a\.dll unpacks to more"):
        check_rebuild(container, ["b.dll"])


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(entries=2), "3 entries, more than the 2"),
        (Bounds(unpacked=599), "600 bytes, more than the 599"),
    ],
)
def test_what_is_beyond_the_bounds_is_refused(bounds: Bounds, words: str, tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    path.write_bytes(build_zip([Part(f"{number}.dll", b"MZ" * 100) for number in range(3)]))
    with pytest.raises(ArtifactError, match=words) as refused:
        open_container(path, bounds)
    assert refused.value.code == "ERROR_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jar", lambda: build_zip([Part("META-INF/MANIFEST.MF")])),
        ("a.vsix", lambda: build_zip([Part("a.txt")])),
        ("a.zip", lambda: b"Rar!"),
        ("a.zip", lambda: build_zip([])),
        ("a.app", lambda: build_navx(runtime=True)),
    ],
)
def test_what_is_not_a_container_is_named_so(name: str, content: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content())
    with pytest.raises(ArtifactError) as refused:
        open_container(path, Bounds())
    assert refused.value.code == "TRUST_E_SUBJECT_FORM_UNKNOWN"


def test_encoded_names_of_parts_are_read_as_their_readers_show_them(tmp_path: Path) -> None:
    nuspec, path = Part("a.nuspec", b"<package/>"), tmp_path / "some.nupkg"
    path.write_bytes(build_zip([nuspec, Part("lib/a%20b%2B.dll"), Part("100%.txt"), Part("_rels/.rels")]))
    names = [entry.name for entry in open_container(path, Bounds()).entries]
    assert names == ["a.nuspec", "lib/a b+.dll", "100%.txt", "_rels/.rels"]
    for twin in ("lib/a b.dll", "LIB/a%20B.dll"):
        path.write_bytes(build_zip([nuspec, Part("lib/a%20b.dll"), Part(twin)]))
        with pytest.raises(ArtifactError, match="one file on Windows"):
            open_container(path, Bounds())
    path.write_bytes(build_zip([nuspec, Part("lib/%2e%2e/%2E%2e/a.dll")]))
    with pytest.raises(ArtifactError, match="is not a name that a part of a package may have"):
        open_container(path, Bounds())


def _comment(random: Random, before: int) -> bytes:
    """Bytes, another archive, its directory, its end, or parts of them, in any order; the comment begins `before`."""
    other = build_zip([Part("other.dll", b"MZ" * 40)])
    directory, end = other.index(b"PK\1\2"), other.index(b"PK\5\6")
    comment = b""
    for _ in range(random.randrange(6)):
        fields = bytearray(other[end:])
        struct.pack_into("<I", fields, 16, max(before + len(comment) - (end - directory), 0))
        pieces = (random.randbytes(random.randrange(9)), b"PK\5\6", other[:end], other[directory:end], bytes(fields))
        comment += random.choice(pieces)
    return comment


def test_an_archive_that_is_accepted_is_the_one_that_another_reader_finds(tmp_path: Path) -> None:
    """Whatever is put into its comment: Python's zipfile takes the last end of a directory that it finds."""
    random, path, plain = Random(20), tmp_path / "some.zip", [Part("a.dll", b"MZ")]  # noqa: S311 - test data
    before, accepted, refused = len(build_zip(plain)), 0, 0
    for _ in range(150):
        comment = _comment(random, before)
        path.write_bytes(build_zip(plain, comment=comment))
        try:
            found = [entry.name for entry in open_container(path, Bounds()).entries]
        except ArtifactError:
            assert b"PK\5\6" in comment
            refused += 1
            continue
        accepted += 1
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == found
    assert min(accepted, refused) > 25


def test_a_name_that_is_accepted_is_the_same_on_windows() -> None:
    random, accepted = Random(20), 0  # noqa: S311 - test data
    for _ in range(2000):
        name = "".join(random.choices("ab.:/\\ P\u00e9", k=random.randrange(1, 12)))
        try:
            windows = PureWindowsPath(plain_path(name))
        except ValueError:
            continue
        accepted += 1
        assert not windows.drive
        assert not windows.root
        assert ".." not in windows.parts
        assert all(part == part.rstrip(". ") and ":" not in part for part in windows.parts)
    assert accepted > 200


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a.dll", "a.dll"),
        ("caf\u00e9/a.dll".encode("cp437"), "caf\u00e9/a.dll"),
        (b"caf#U00e9.dll", "caf\u00e9.dll"),
        (b"???.dll", "\u6587\u4ef6\u540d.dll"),
        (b"Lodz.txt", "\u0141\u00f3d\u017a.txt"),
    ],
)
def test_a_unicode_name_that_stands_for_the_other_is_shown(raw: bytes, shown: str, tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    plain = "x" * len(raw)
    made = build_zip([Part(plain, b"content", extra=_unicode_name(shown.encode(), raw=raw))])
    path.write_bytes(made.replace(plain.encode(), raw))
    assert [entry.name for entry in open_container(path, Bounds()).entries] == [shown]
