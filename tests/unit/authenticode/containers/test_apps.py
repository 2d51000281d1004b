"""Business Central packages: one that is compiled beforehand holds a runtime package, which is signed inside it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.containers.rebuild import rebuild
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.navx import NavxFile
from kspsign.model.errors import ArtifactError
from support.formats.navx_samples import build_navx

NAME = "publishedartifacts/compiled.app"


def _compiled() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readytorunappmanifest.json", '{"EmbeddedAppFileName": "compiled.app"}')
        archive.writestr(NAME, build_navx(runtime=True))
        archive.writestr("NavxManifest.xml", "<Package/>")
    return build_navx(content=packed.getvalue())


def test_the_package_inside_is_replaced_and_the_header_states_the_new_length(tmp_path: Path) -> None:
    path, new, again, target = (tmp_path / name for name in ("some.app", "new", "again.app", "signed.app"))
    path.write_bytes(_compiled())
    container = open_container(path, Bounds())
    assert (container.kind, container.is_signed) == (ContainerKind.APP, False)
    rebuild(container, {}, again)
    assert again.read_bytes() == path.read_bytes()
    new.write_bytes(build_navx(runtime=True) + b"NXSB" + bytes(900))
    rebuild(container, {NAME: new}, target)
    assert NavxFile.open(Snapshot(target)).content_end == target.stat().st_size > path.stat().st_size
    data = target.read_bytes()
    assert data[:28] + data[36:40] == path.read_bytes()[:28] + path.read_bytes()[36:40]
    with zipfile.ZipFile(io.BytesIO(data[40:])) as archive:
        assert archive.testzip() is None
        assert archive.read(NAME) == new.read_bytes()


def test_its_signature_block_covers_what_is_inside(tmp_path: Path) -> None:
    path, new, target = tmp_path / "some.app", tmp_path / "new", tmp_path / "signed.app"
    unsigned = _compiled()
    path.write_bytes(unsigned + b"NXSB0\x03abc" + len(unsigned).to_bytes(4, "little") + b"NXSB")
    new.write_bytes(b"NAVX")
    container = open_container(path, Bounds())
    assert container.is_signed
    with pytest.raises(ArtifactError, match="it is signed"):
        rebuild(container, {NAME: new}, target)
    assert not target.exists()
    rebuild(container, {NAME: new}, target, drop_signature=True)
    assert not open_container(target, Bounds()).is_signed
    assert b"NXSB" not in target.read_bytes()
