"""What is selected to be judged: every file by every name, in any case; and what signing leaves out, by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kspsign.batch.select import Selection, SelectionPurpose, select_artifacts
from kspsign.batch.walk import MAX_NAMES
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import COPY_PREFIX, Format
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe

IMAGE = build_pe(sections=())
NAMES = (
    "app.exe", "run.bat", "run.cmd", "web/site.js", "web/run.vbs", "web/job.wsf", "notes.txt", f"{COPY_PREFIX}x.exe",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGE if name.endswith(".exe") else b"text\r\n")
    return tmp_path


def judged(folder: Path, *patterns: str) -> list[str]:
    return names(select_artifacts(patterns, folder, SelectionPurpose.JUDGE))


def names(selection: Selection) -> list[str]:
    return [artifact.name for artifact in selection.artifacts]


@pytest.mark.parametrize("pattern", ["dist", "dist/", "dist/**", "dist/**/*", "**"])
def test_a_folder_is_every_file_in_it(tree: Path, pattern: str) -> None:
    assert judged(tree, pattern) == sorted(f"dist/{name}" for name in NAMES)


def test_signing_takes_what_somebody_wants_signed_and_names_the_rest(tree: Path) -> None:
    selection = select_artifacts(["dist"], tree)
    assert names(selection) == ["dist/app.exe"]
    reasons = {out.path: out.reason for out in selection.left_out}
    assert set(reasons) == {f"dist/{name}" for name in NAMES} - {"dist/app.exe"}
    assert "a pattern that names it or ends in .js" in reasons["dist/web/site.js"]
    assert "not a signable format" in reasons["dist/run.bat"]
    assert "a signed copy" in reasons[f"dist/{COPY_PREFIX}x.exe"]


def test_patterns_ignore_case_where_files_are_judged(tree: Path) -> None:
    (tree / "dist" / "Tool.EXE").write_bytes(IMAGE)
    both = ["dist/Tool.EXE", "dist/app.exe"]
    assert judged(tree, "dist/*.exe", f"!**/{COPY_PREFIX}*") == both
    assert judged(tree, "DIST/*.Exe", f"!**/{COPY_PREFIX}*") == both
    assert judged(tree, "Dist/TOOL.exe") == ["dist/Tool.EXE"]
    assert judged(tree, "dist/*.exe", f"!**/{COPY_PREFIX}*", "!dist/TOOL.*") == ["dist/app.exe"]


@pytest.mark.skipif(sys.platform != "linux", reason="file systems that tell names by case")
def test_names_that_differ_in_case_are_all_judged(tree: Path) -> None:
    (tree / "dist" / "APP.EXE").write_bytes(IMAGE)
    assert judged(tree, "dist/app.exe") == ["dist/APP.EXE", "dist/app.exe"]
    assert names(select_artifacts(["dist/app.exe"], tree)) == ["dist/app.exe"]


@pytest.mark.skipif(sys.platform != "linux", reason="file systems that tell names by case")
def test_names_above_the_working_folder_are_not_looked_for(tree: Path, tmp_path: Path) -> None:
    """Those folders may hold anything, and may not be readable."""
    twin = tree.with_name(tree.name.upper()) / "dist" / "app.exe"
    twin.parent.mkdir(parents=True)
    twin.write_bytes(IMAGE)
    assert judged(tree, str(tree / "dist" / "app.exe")) == ["dist/app.exe"]
    assert judged(tree, str(tree / "DIST" / "app.exe")) == ["dist/app.exe"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert len(judged(elsewhere, str(tree / "dist" / "APP.exe"))) == 1
    assert len(judged(twin.parents[1], str(tree / "dist" / "app.exe"))) == 2, "both are below no working folder"


def test_each_name_is_judged_and_what_it_leads_to(tree: Path) -> None:
    (tree / "dist" / "a.ps1").symlink_to("app.exe")
    assert judged(tree, "dist/*.ps1") == ["dist/a.ps1", "dist/app.exe"]
    assert judged(tree, "dist/*.ps1", "!dist/a.ps1") == ["dist/app.exe"]
    assert judged(tree, "dist/app.exe", "dist/*.ps1", "!dist/app.exe") == ["dist/a.ps1"]
    (artifact,) = select_artifacts(["dist/*.ps1"], tree).artifacts
    assert artifact.names == ("dist/a.ps1", "dist/app.exe")
    (tree / "link").symlink_to("dist/web")
    assert judged(tree, "link/*.js") == ["dist/web/site.js", "link/site.js"]


def test_what_is_left_out_is_named(tree: Path) -> None:
    (tree / "dist" / "gone.exe").symlink_to("nowhere")
    selection = select_artifacts(["dist", "!dist/web", "!**/*.txt"], tree, SelectionPurpose.JUDGE)
    assert {out.path: out.reason for out in selection.left_out} == {
        "dist/gone.exe": "a link that leads nowhere",
        "dist/notes.txt": "excluded by !**/*.txt",
        **{f"dist/web/{name}": "excluded by !dist/web" for name in ("site.js", "run.vbs", "job.wsf")},
    }


def test_loops_of_links_come_to_an_end(tree: Path) -> None:
    """Two links to the parent have more names than anybody can count."""
    for name in ("one", "two"):
        (tree / "dist" / "web" / name).symlink_to("..", target_is_directory=True)
    expected = sorted(f"dist/{name}" for name in NAMES)
    assert judged(tree, "dist") == expected
    assert judged(tree, "**/*.js") == ["dist/web/site.js"]
    assert names(select_artifacts(["**/*.exe"], tree)) == ["dist/app.exe"]


def test_a_folder_with_countless_names_is_judged_by_some_of_them(tree: Path) -> None:
    for number in range(MAX_NAMES + 4):
        (tree / f"link{number:02}").symlink_to("dist", target_is_directory=True)
    selection = select_artifacts(["**/app.exe"], tree, SelectionPurpose.JUDGE)
    assert names(selection)[0] == "dist/app.exe"
    assert len(names(selection)) == MAX_NAMES
    assert {out.reason for out in selection.left_out} == {f"a folder already visited under {MAX_NAMES} other names"}
    assert len(selection.left_out) >= 5
    assert names(select_artifacts(["**/app.exe"], tree)) == ["dist/app.exe"]


def test_signing_follows_no_link_out_of_its_folder_unless_told(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "theirs.exe").write_bytes(IMAGE)
    (tree / "dist" / "theirs.exe").symlink_to(elsewhere / "theirs.exe")
    (tree / "dist" / "more").symlink_to(elsewhere, target_is_directory=True)
    selection = select_artifacts(["dist/**/*.exe"], tree)
    assert names(selection) == ["dist/app.exe"]
    outside = {out.path for out in selection.left_out if out.reason.startswith("a link out of the folder")}
    assert outside == {"dist/theirs.exe", "dist/more/theirs.exe"}
    (told,) = select_artifacts(["dist/theirs.exe"], tree).artifacts
    assert told.path == (elsewhere / "theirs.exe").resolve()
    assert names(select_artifacts(["dist/more"], tree)) == ["dist/more/theirs.exe"]
    assert "dist/theirs.exe" in judged(tree, "dist")


def test_a_policy_judges_what_signing_leaves_out(tree: Path) -> None:
    (tree / "dist" / "a.ps1").symlink_to("app.exe")
    artifacts = select_artifacts(["dist"], tree, SelectionPurpose.SIGN_AND_JUDGE).artifacts
    by_name = {artifact.name: artifact for artifact in artifacts}
    assert [name for name, artifact in by_name.items() if artifact.to_sign] == ["dist/a.ps1"]
    assert by_name["dist/a.ps1"].names == ("dist/a.ps1", "dist/app.exe")
    others = {f"dist/{name}" for name in NAMES} - {"dist/app.exe"}
    assert set(by_name) == others | {"dist/a.ps1"}


def test_further_names_of_a_file_to_sign_are_its_own(tree: Path) -> None:
    """Signing follows one way to a folder, judging several: it is one file all the same."""
    (tree / "dist" / "link").symlink_to("web", target_is_directory=True)
    (tree / "dist" / "web" / "app.exe").write_bytes(IMAGE + b"other")
    artifacts = select_artifacts(["dist/**/*.exe"], tree, SelectionPurpose.SIGN_AND_JUDGE).artifacts
    to_sign = {artifact.path.name: artifact.names for artifact in artifacts if artifact.to_sign}
    assert len(artifacts) == len({artifact.path for artifact in artifacts})
    assert len(to_sign) == 1  # two files of one name
    names_of = {name for artifact in artifacts for name in artifact.names}
    assert {"dist/app.exe", "dist/web/app.exe", "dist/link/app.exe"} <= names_of


def test_patterns_that_match_only_since_case_is_ignored_are_named(tree: Path) -> None:
    (tree / "dist" / "Tool.EXE").write_bytes(IMAGE)
    (tree / "list.txt").write_text("dist/*.EXE\n", encoding="utf-8")
    selection = select_artifacts(["dist/*.exe", "dist/*.js", "@list.txt"], tree, SelectionPurpose.JUDGE)
    assert selection.in_other_case == ("dist/*.exe", "(line 1 of list.txt)")
    assert select_artifacts(["dist/app.exe", "**"], tree, SelectionPurpose.JUDGE).in_other_case == ()
    assert select_artifacts(["dist/*.EXE"], tree).in_other_case == ()


@pytest.mark.skipif(sys.platform == "win32", reason="folders relative to a descriptor")
def test_a_folder_that_can_not_be_read_can_not_be_judged(tree: Path) -> None:
    """A path longer than the system takes is one that nobody, root neither, can read."""
    here = os.open(tree / "dist", os.O_RDONLY)
    for _ in range(24):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(ConfigurationError, match="can't be read"):
        judged(tree, "dist")
    assert any("the folder can't be read" in out.reason for out in select_artifacts(["dist"], tree).left_out)


def test_symbol_packages_are_signed_by_name_only(tmp_path: Path) -> None:
    for name in ("tools.nupkg", "tools.snupkg"):
        (tmp_path / name).write_bytes(package())
    for pattern in (str(tmp_path), "*", "**"):
        assert names(select_artifacts([pattern], tmp_path)) == ["tools.nupkg"], pattern
    assert names(select_artifacts(["**/*.snupkg"], tmp_path)) == ["tools.snupkg"]
    (named,) = select_artifacts(["tools.snupkg"], tmp_path).artifacts
    assert named.format is Format.NUGET
    assert judged(tmp_path, "*") == ["tools.nupkg", "tools.snupkg"]
