"""From patterns to files: globs, folders, lists, exclusions, links, and names that look like globs."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.batch.select import IdlePattern, SelectionPurpose, select_artifacts
from kspsign.model.errors import ConfigurationError, NoFilesMatchedError
from kspsign.model.values import COPY_PREFIX, Format
from support.formats.peimages import build_pe

IMAGE = build_pe(sections=())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.exe", "b.dll", "bin/c.exe", "bin/deep/d.dll", "bin/.hidden.exe", "bin/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text" if name.endswith(".txt") else IMAGE)
    return tmp_path


def names(folder: Path, *patterns: str) -> list[str]:
    return [artifact.name for artifact in select_artifacts(patterns, folder).artifacts]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*.exe"], ["a.exe"]),
        (["**/*.exe"], ["a.exe", "bin/.hidden.exe", "bin/c.exe"]),
        (["**/*.dll", "*.exe"], ["a.exe", "b.dll", "bin/deep/d.dll"]),
        (["bin/*"], ["bin/.hidden.exe", "bin/c.exe", "bin/notes.txt"]),
        (["bin"], ["bin/.hidden.exe", "bin/c.exe", "bin/deep/d.dll"]),
        (["bin/"], ["bin/.hidden.exe", "bin/c.exe", "bin/deep/d.dll"]),
        (["[ab].*"], ["a.exe", "b.dll"]),
        (["?.exe"], ["a.exe"]),
        (["a.exe", "a.exe", "*.exe"], ["a.exe"]),
        (["**", "!**/*.exe", "!**/*.txt"], ["b.dll", "bin/deep/d.dll"]),
        (["!bin", "**/*.dll"], ["b.dll", "bin/deep/d.dll"]),
        (["**/*.dll", "!bin", "**/d.dll"], ["b.dll", "bin/deep/d.dll"]),
        (["**/*.dll", "!bin", "**/d.dll", "!**/deep/**"], ["b.dll"]),
        (["**/*.exe", "!!b.dll"], ["a.exe", "b.dll", "bin/.hidden.exe", "bin/c.exe"]),
        (["# all of them", "*.{exe,dll}"], ["a.exe", "b.dll"]),
        (["{.,bin}/*.exe"], ["a.exe", "bin/.hidden.exe", "bin/c.exe"]),
        (["**/+(a|c).exe"], ["a.exe", "bin/c.exe"]),
        (["**/!(a|.hidden).exe"], ["bin/c.exe"]),
        (["@(a|b).*"], ["a.exe", "b.dll"]),
        (["./!(a)*"], ["b.dll"]),
        ([r"bin\*.exe"], ["bin/.hidden.exe", "bin/c.exe"]),
        ([r"bin\deep"], ["bin/deep/d.dll"]),
        (["[a-c].???"], ["a.exe", "b.dll"]),
        (["{a,b}[.]*"], ["a.exe", "b.dll"]),
        (["**/*.exe", "!bin/.hidden.exe"], ["a.exe", "bin/c.exe"]),
        (["*.exe\n  *.dll  \n\n"], ["a.exe", "b.dll"]),
    ],
)
def test_patterns(tree: Path, patterns: list[str], expected: list[str]) -> None:
    assert names(tree, *patterns) == expected


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["web"], ["web/setup.ps1"]),
        (["**"], ["web/notes.txt", "web/setup.ps1"]),
        (["web/*.js"], ["web/app.js", "web/site.js"]),
        (["web/site.js", "**/*.vbs"], ["web/run.vbs", "web/site.js"]),
        (["web", "web/*.wsf"], ["web/job.wsf", "web/setup.ps1"]),
        (["web/site.*", "web/*.ps1"], ["web/setup.ps1"]),
        (["web/*.{js,ps1}"], ["web/app.js", "web/setup.ps1", "web/site.js"]),
        (["web/*.@(vbs|ps1)"], ["web/run.vbs", "web/setup.ps1"]),
        (["web/!(app).js"], ["web/site.js"]),
        (["web/!(app).*"], ["web/notes.txt", "web/setup.ps1"]),
    ],
)
def test_scripts_of_the_web_are_only_taken_by_name(tmp_path: Path, patterns: list[str], expected: list[str]) -> None:
    """A folder may hold a web site: nobody means its thousands of .js files."""
    (tmp_path / "web").mkdir()
    for name in ("site.js", "app.js", "run.vbs", "job.wsf", "setup.ps1", "notes.txt"):
        (tmp_path / "web" / name).write_bytes(b"text\r\n")
    assert names(tmp_path, *patterns) == expected


def test_absolute_patterns_and_files_outside_the_folder(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.exe"
    elsewhere.write_bytes(IMAGE)
    assert names(tree, str(tree / "*.exe"), str(elsewhere)) == sorted([elsewhere.as_posix(), "a.exe"])


def test_format_and_size_come_from_the_content(tree: Path) -> None:
    image, text = select_artifacts(["a.exe", "bin/notes.txt"], tree).artifacts
    assert (image.format, image.size, image.path) == (Format.PE, len(IMAGE), (tree / "a.exe").resolve())
    assert (text.format, text.size) == (None, 4)


@pytest.mark.parametrize("name", ["[x].exe", "a[0-9].exe", "what?.exe", "star*.exe", "!not.exe", "@at.exe"])
def test_a_name_that_looks_like_a_pattern_is_found_literally(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(IMAGE)
    pattern = name if name[0] not in "!@" else f"./{name}"
    assert names(tmp_path, pattern) == [name]


def test_a_list_is_read_with_comments_blank_lines_and_a_byte_order_mark(tree: Path) -> None:
    (tree / "list.txt").write_bytes(b"\xef\xbb\xbf# to ship\r\n\r\n*.exe\r\n  **/*.dll  \r\n!b.dll\r\n")
    assert names(tree, "@list.txt") == ["a.exe", "bin/deep/d.dll"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_list_that_can_not_be_read_is_named(tree: Path, content: bytes | None) -> None:
    if content is not None:
        (tree / "list.txt").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"list\.txt"):
        select_artifacts(["@list.txt"], tree)


def test_links_count_once_and_show_the_first_name(tree: Path) -> None:
    (tree / "link.exe").symlink_to("a.exe")
    assert len(select_artifacts(["*.exe"], tree).artifacts) == 1
    assert select_artifacts(["link.exe"], tree).artifacts[0].path == (tree / "a.exe").resolve()
    assert names(tree, "*.exe", "*.dll", "!link.exe") == ["b.dll"]


def test_copies_of_a_run_that_was_killed_are_never_matched(tree: Path) -> None:
    (tree / f"{COPY_PREFIX}0badf00d.a.exe").write_bytes(IMAGE)
    assert names(tree, "*.exe") == ["a.exe"]


def test_a_pattern_without_a_match_beside_others_is_told(tree: Path) -> None:
    selection = select_artifacts(["*.exe", "*.ocx"], tree)
    assert selection.idle == (IdlePattern("*.ocx"),)


@pytest.mark.parametrize(
    ("patterns", "idle"),
    [
        (["*.exe", "!*.dll"], ["!*.dll"]),
        (["!*.exe", "*.exe"], ["!*.exe"]),
        (["*.exe", "!a.exe", "!a.exe", "b.dll"], ["!a.exe"]),
        (["*.exe", "a.exe"], []),
        (["*.{exe,ocx}"], []),
        (["*.exe", "*.{ocx,sys}"], ["*.{ocx,sys}"]),
        (["**", "!**/*.txt"], []),
    ],
)
def test_patterns_that_change_nothing_are_told(tree: Path, patterns: list[str], idle: list[str]) -> None:
    for purpose in (SelectionPurpose.SIGN, SelectionPurpose.JUDGE, SelectionPurpose.SIGN_AND_JUDGE):
        assert [pattern.shown for pattern in select_artifacts(patterns, tree, purpose).idle] == idle


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("dist/**/*.exe", "there is no folder {tree}/dist"),
        ("Bin/**/*.exe", "there is no folder {tree}/Bin (did you mean bin?)"),
        ("bin/deeep/*.dll", "there is no folder {tree}/bin/deeep (did you mean deep?)"),
        ("a.ex", "there is no file or folder {tree}/a.ex (did you mean a.exe?)"),
    ],
)
def test_a_missing_folder_is_told_as_such(tree: Path, pattern: str, words: str) -> None:
    with pytest.raises(NoFilesMatchedError) as caught:
        select_artifacts([pattern], tree)
    assert words.format(tree=tree.as_posix()) in str(caught.value)
    if "*" in pattern:
        (idle,) = select_artifacts(["*.exe", pattern], tree).idle
        assert idle.reason == words.format(tree=tree.as_posix())


def test_the_folder_itself_may_be_missing(tree: Path) -> None:
    with pytest.raises(NoFilesMatchedError, match=r"there is no folder .*/gone"):
        select_artifacts(["*.exe"], tree / "gone")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("*.exe;*.dll", "holds a semicolon"),
        ("a.exe;b.dll", "holds a semicolon"),
        ('"*.exe"', "is in quotation marks"),
        ("'*.exe'", "is in quotation marks"),
        ("!(a|b).exe", "begins with !("),
        ("@(bin/deep|bin)/*.dll", "a group with a folder in it"),
        ("!", "names nothing"),
        ("!!", "names nothing"),
        ("{1..600}.exe", "stand for more than 500 patterns"),
    ],
)
def test_a_pattern_that_would_mean_something_else_is_named(tree: Path, pattern: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select_artifacts(["*.exe", pattern], tree)
    assert words in str(caught.value)
    assert caught.value.code == "PATTERN"
    (tree / "list.txt").write_text(f"*.exe\n{pattern}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        select_artifacts(["@list.txt"], tree)
    assert words in str(caught.value)
    assert pattern not in str(caught.value).replace("!(,", "")


@pytest.mark.parametrize("name", ["a;b.exe", "{a,b}.exe", "bin [x64]", "c+(x86)", "#1.exe", "back\\slash.exe"])
def test_a_name_with_special_characters_is_found(tree: Path, name: str) -> None:
    wanted = tree / name / "x.exe" if "." not in name else tree / name
    wanted.parent.mkdir(exist_ok=True)
    wanted.write_bytes(IMAGE)
    pattern = f"{name}/*.exe" if "." not in name else f"./{name}"
    found = names(tree, pattern)
    assert wanted.relative_to(tree).as_posix() in found
    assert (
        names(tree, "**/*.exe", f"!{pattern}") == ["a.exe", "bin/.hidden.exe", "bin/c.exe"] if "{" not in name else True
    )


def test_a_planted_name_hides_nothing_from_the_judge(tree: Path) -> None:
    for name in ("{a,b}.exe", "bin\\c.exe"):
        (tree / name).write_bytes(IMAGE)
    judged = select_artifacts(["{a,b}.exe", r"bin\c.exe"], tree, SelectionPurpose.JUDGE).artifacts
    assert {"a.exe", "bin/c.exe", "{a,b}.exe", "bin\\c.exe"} == {artifact.name for artifact in judged}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_a_list_is_taken_as_windows_powershell_writes_it(tree: Path, encoding: str) -> None:
    text = ("\ufeff" if encoding == "utf-16-be" else "") + "# to ship\r\n*.exe\r\n**/*.dll\r\n"
    (tree / "list.txt").write_bytes(text.encode(encoding))
    assert names(tree, "@list.txt") == ["a.exe", "b.dll", "bin/deep/d.dll"]


def test_a_list_holds_no_variables(tree: Path) -> None:
    (tree / "list.txt").write_text("*.exe\n$(out)/b.dll\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"line 2 of list\.txt\) holds a variable"):
        select_artifacts(["@list.txt"], tree)


@pytest.mark.parametrize("patterns", [[], ["*.ocx"], ["*.exe", "!*.exe"], ["a.exe", "gone.exe"], ["", "  "]])
def test_nothing_or_a_missing_file_stops_the_run(tree: Path, patterns: list[str]) -> None:
    with pytest.raises(NoFilesMatchedError) as caught:
        select_artifacts(patterns, tree)
    assert caught.value.exit_code == 4
