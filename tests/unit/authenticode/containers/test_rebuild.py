"""Archives of Python's zipfile, written again: the same to the byte, with a replacement but for its entry."""

from __future__ import annotations

import zipfile
from pathlib import Path
from random import Random

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.rebuild import rebuild


def _archive(path: Path, random: Random) -> dict[str, bytes]:
    contents = {}
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(random.randrange(1, 8)):
            name = random.choice(["", "lib/", "tools/ä/"]) + f"{number}.bin"
            info = zipfile.ZipInfo(name, (2000 + random.randrange(40), 1 + random.randrange(12), 3, 4, 5, 6))
            info.compress_type = random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            info.external_attr = random.choice([0, 0o100755 << 16, 0x20])
            info.comment = b"note" * random.randrange(2)
            info.extra = b"\x99\x77\x02\x00ab" * random.randrange(2)
            contents[name] = random.randbytes(random.choice([0, 3, 70_000])) + b"\0" * random.randrange(5000)
            if random.random() < 0.5:
                archive.writestr(info, contents[name])
            else:
                with archive.open(info, "w", force_zip64=random.random() < 0.5) as entry:
                    entry.write(contents[name])
        archive.comment = b"as packed" * random.randrange(2)
    return contents


@pytest.mark.parametrize("seed", range(40))
def test_nothing_changes_but_what_is_replaced(seed: int, tmp_path: Path) -> None:
    random = Random(seed)  # noqa: S311 - the same archives each time
    path, again, target = tmp_path / "a.zip", tmp_path / "again.zip", tmp_path / "signed.zip"
    contents = _archive(path, random)
    container = open_container(path, Bounds())
    assert {entry.name: entry.size for entry in container.entries} == {
        name: len(content) for name, content in contents.items()
    }

    rebuild(container, {}, again)
    assert again.read_bytes() == path.read_bytes()

    chosen = random.choice(container.entries)
    extracted = tmp_path / "taken out"
    container.extract(chosen, extracted)
    assert extracted.read_bytes() == contents[chosen.name]
    extracted.write_bytes(contents[chosen.name] + random.randbytes(900))
    rebuild(container, {chosen.name: extracted}, target)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(contents)
        assert {name: archive.read(name) for name in contents} == contents | {chosen.name: extracted.read_bytes()}
