"""What signing leaves of a file besides its bytes, and how files are found: modes, links, many at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.formats.peimages import build_pe
from support.samples import Run, Store, assert_no_leftovers, copy_launcher, kspsign, osslsigncode_verify


def sign(folder: Path, store: Store, *options: object) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder, "--folder", folder)
    return kspsign("sign", *options, *chosen, folder=folder)


@pytest.mark.parametrize("mode", [0o755, 0o644, 0o600, 0o700])
def test_the_mode_is_kept(store: Store, tmp_path: Path, mode: int) -> None:
    path = copy_launcher(tmp_path)
    path.chmod(mode)
    assert sign(tmp_path, store, path.name).code == 0
    assert path.stat().st_mode & 0o7777 == mode


def test_a_link_stays_a_link_and_its_target_is_signed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = copy_launcher(tmp_path / "real")
    link = tmp_path / "tool.exe"
    link.symlink_to(Path("real") / real.name)
    assert sign(tmp_path, store, "tool.exe").code == 0
    assert link.is_symlink()
    assert link.readlink() == Path("real") / real.name
    assert osslsigncode_verify(real, store.root).accepted
    assert_no_leftovers(tmp_path)


def test_a_file_reached_twice_is_signed_once(store: Store, tmp_path: Path) -> None:
    real = copy_launcher(tmp_path)
    for name in ("a.exe", "b.exe"):
        (tmp_path / name).symlink_to(real.name)
    run = sign(tmp_path, store, "*.exe", real.name, tmp_path / "a.exe")
    assert (run.code, run.report["totals"]["matched"], run.report["totals"]["signatures_used"]) == (0, 1, 1)


def test_a_link_to_nowhere_and_a_circle_of_links_do_no_harm(store: Store, tmp_path: Path) -> None:
    copy_launcher(tmp_path)
    (tmp_path / "gone.exe").symlink_to("nothing.exe")
    (tmp_path / "circle").symlink_to(tmp_path)
    run = sign(tmp_path, store, "**/*.exe")
    assert (run.code, list(run.files)) == (0, ["cli-64.exe"])


def test_hard_links_part_as_the_target_is_replaced(store: Store, tmp_path: Path) -> None:
    """A new file takes the name; the other name keeps what it was."""
    path = copy_launcher(tmp_path)
    before = path.read_bytes()
    (tmp_path / "other.bin").hardlink_to(path)
    assert sign(tmp_path, store, path.name).code == 0
    assert (tmp_path / "other.bin").read_bytes() == before
    assert path.read_bytes() != before


def test_names_of_all_kinds(store: Store, tmp_path: Path) -> None:
    names = [
        "größe.exe",
        "with space.exe",
        "[x].exe",
        "!bang.exe",
        "日本.dll",
        "a" * 180 + ".exe",
        "noending",
        "-dash.exe",
    ]
    for name in names:
        (tmp_path / name).write_bytes(build_pe())
    run = sign(tmp_path, store, "*")
    assert run.code == 0, run.text
    assert sorted(run.files) == sorted(names)
    for name in names:
        assert osslsigncode_verify(tmp_path / name, store.root).accepted, name


def test_five_hundred_files_in_one_run(store: Store, tmp_path: Path) -> None:
    image = build_pe()
    for index in range(500):
        folder = tmp_path / f"{index % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"{index:03}.dll").write_bytes(image + index.to_bytes(8, "little"))
    run = sign(tmp_path, store, "**/*.dll", "--jobs", "8")
    assert run.code == 0, run.text[-2000:]
    assert run.report["totals"] == {
        "matched": 500, "signed": 500, "skipped": 0, "failed": 0, "verified": 500, "unverified": 0,
        "signatures_used": 500, "signatures_needed": 0, "left": 0,
    }  # fmt: skip
    assert [file["path"] for file in run.report["files"]] == sorted(run.files)
    assert_no_leftovers(tmp_path)
    for index in (0, 250, 499):
        assert osslsigncode_verify(tmp_path / f"{index % 7}" / f"{index:03}.dll", store.root).accepted


def test_a_folder_means_its_images(store: Store, tmp_path: Path) -> None:
    (tmp_path / "bin" / "deep").mkdir(parents=True)
    copy_launcher(tmp_path / "bin")
    copy_launcher(tmp_path / "bin" / "deep", to="other.dll")
    (tmp_path / "bin" / "readme.txt").write_text("no image", encoding="utf-8")
    run = sign(tmp_path, store, "bin")
    assert (run.code, sorted(run.files)) == (0, ["bin/cli-64.exe", "bin/deep/other.dll"])


def test_lists_and_exclusions(store: Store, tmp_path: Path) -> None:
    for name in ("one.exe", "two.exe", "three.exe"):
        copy_launcher(tmp_path, to=name)
    (tmp_path / "list.txt").write_text("# what we ship\none.exe\n\n  t*.exe  \n!two.exe\n", encoding="utf-8")
    run = sign(tmp_path, store, "@list.txt")
    assert (run.code, sorted(run.files)) == (0, ["one.exe", "three.exe"])


@pytest.mark.parametrize("name", ["n" * 251 + ".exe", "数" * 83 + ".exe", "a" + "😀" * 62 + ".exe", "é" * 125 + ".mui"])
def test_a_name_as_long_as_file_systems_have_them(store: Store, tmp_path: Path, name: str) -> None:
    """The copy beside it has a prefix in its name, and so a shorter end."""
    assert 250 < len(name.encode()) <= 255
    path = tmp_path / name
    path.write_bytes(build_pe())
    run = sign(tmp_path, store, name)
    assert run.code == 0, run.text
    assert osslsigncode_verify(path, store.root).accepted
    assert_no_leftovers(tmp_path)
