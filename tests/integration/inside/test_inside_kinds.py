"""Containers of Visual Studio and Business Central: signed inside and outside, again in place of that, and judged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import open_container
from kspsign.authenticode.containers.rebuild import rebuild
from support.formats.navx_samples import build_navx
from support.formats.nested import image
from support.formats.vsix_samples import package
from support.formats.zips import Part
from support.samples import Run, assert_no_leftovers, kspsign
from support.signing import Publisher


def _vsix() -> bytes:
    return package(Part("Contoso.Core.dll", image(11), deflate=True), without="Contoso.Tools.dll")


def _app() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("src/Hello.al", "codeunit 50100 Hello { }\n" * 400)
        archive.writestr("publishedartifacts/compiled.app", build_navx(runtime=True))
    return build_navx(content=packed.getvalue())


KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "tools.vsix": (_vsix, "Contoso.Core.dll"),
    "hello.app": (_app, "publishedartifacts/compiled.app"),
}


def _run(command: str, publisher: Publisher, path: Path, *options: object) -> Run:
    stamp = ("--timestamp-url", publisher.timestamp_url) if command == "sign" else ()
    chosen = (*publisher.file.options, *stamp) if command == "sign" else ()
    run = kspsign(
        *(command, path.name, *chosen, "--trust-root", publisher.roots, "--folder", path.parent, "--inside", *options),
        folder=path.parent.parent,
    )
    assert_no_leftovers(path.parent)
    return run


@pytest.mark.parametrize("name", KINDS)
def test_inside_and_outside_are_signed_and_signed_again(name: str, publisher: Publisher, tmp_path: Path) -> None:
    make, inner = KINDS[name]
    path = tmp_path / "drop" / name
    path.parent.mkdir()
    path.write_bytes(make())
    run = _run("sign", publisher, path)
    assert run.code == 0, run.text
    assert {row: found["outcome"] for row, found in run.files.items()} == {name: "signed", f"{name}/{inner}": "signed"}
    assert run.report["totals"]["signatures_used"] == 2
    assert _run("verify", publisher, path).code == 0
    assert _run("sign", publisher, path).report["totals"]["skipped"] == 2
    again = _run("sign", publisher, path, "--replace")
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 2), again.text
    assert _run("verify", publisher, path).code == 0


@pytest.mark.parametrize("name", KINDS)
def test_an_unsigned_file_in_a_signed_container_is_left_and_fails(
    name: str, publisher: Publisher, tmp_path: Path
) -> None:
    make, inner = KINDS[name]
    path = tmp_path / "drop" / name
    path.parent.mkdir()
    path.write_bytes(make())
    assert publisher.sign(path).code == 0
    before = path.read_bytes()
    run = _run("sign", publisher, path)
    assert run.report["totals"]["signatures_used"] == 0, run.text
    assert (run.code != 0, path.read_bytes()) == (True, before)
    verified = _run("verify", publisher, path)
    assert verified.code == 2
    assert verified.files[f"{name}/{inner}"]["error"]["code"] == "TRUST_E_NOSIGNATURE"


def test_the_programs_in_a_package_of_visual_studio_code_are_signed(publisher: Publisher, tmp_path: Path) -> None:
    path, program = tmp_path / "drop" / "code.vsix", "extension/bin/server.exe"
    path.parent.mkdir()
    parts = (Part("extension/package.json", b"{}"), Part(program, image(12), deflate=True))
    path.write_bytes(package(*parts, without="Contoso.Tools.dll"))
    before = path.read_bytes()
    alone = publisher.sign(path)
    assert (alone.error_code, path.read_bytes()) == ("TRUST_E_SUBJECT_FORM_UNKNOWN", before), alone.text
    assert "Visual Studio Code" in alone.text
    run = _run("sign", publisher, path)
    assert run.code == 0, run.text
    outcomes = {row: found["outcome"] for row, found in run.files.items()}
    assert outcomes == {"code.vsix": "rebuilt", f"code.vsix/{program}": "signed"}
    assert _run("verify", publisher, path).code == 0


def test_a_file_changed_after_signing_fails_inside_and_outside(publisher: Publisher, tmp_path: Path) -> None:
    path, inner = tmp_path / "drop" / "hello.app", "publishedartifacts/compiled.app"
    path.parent.mkdir()
    path.write_bytes(_app())
    assert _run("sign", publisher, path).code == 0
    signed, new, target = path.read_bytes(), tmp_path / "new", tmp_path / "twin.app"
    new.write_bytes(build_navx(runtime=True, version=9))
    rebuild(open_container(path, Bounds()), {inner: new}, target, drop_signature=True)
    block = signed[signed.rindex(b"NXSB", 0, -4) :]
    end = target.stat().st_size
    path.write_bytes(target.read_bytes() + block[:-8] + end.to_bytes(4, "little") + b"NXSB")
    run = _run("verify", publisher, path)
    codes = {row: found["error"]["code"] for row, found in run.files.items()}
    assert codes == {"hello.app": "TRUST_E_BAD_DIGEST", f"hello.app/{inner}": "TRUST_E_NOSIGNATURE"}
