"""What is signed inside and what is not: failures, signatures that are there, patterns, policies, slices, bounds."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from support.certificates import rsa_key, signing_file
from support.formats.nested import README, changed, entries, image, nuget, zipped
from support.inside import Worker
from support.samples import Run, copy_launcher, kspsign


def drop(folder: Path, **files: bytes) -> Path:
    """A folder with these files; `_` in a name is a dot."""
    made = folder / "drop"
    made.mkdir()
    for name, content in files.items():
        (made / name.replace("_", ".")).write_bytes(content)
    return made


def test_a_file_that_fails_fails_its_container_and_spends_nothing_on_it(worker: Worker, tmp_path: Path) -> None:
    broken = image(1)[:200]
    bad = nuget({"lib/broken.dll": broken, "lib/good.dll": image(2)})
    folder = drop(
        tmp_path, bad_zip=zipped({"bad.nupkg": bad, "other.dll": image(3)}), good_zip=zipped({"g.dll": image(4)})
    )
    before = (folder / "bad.zip").read_bytes()
    run = worker.sign(folder)
    assert run.code == 1
    assert (folder / "bad.zip").read_bytes() == before
    assert run.files["good.zip"]["outcome"] == "rebuilt"
    assert run.report["totals"]["signatures_used"] == 1
    for name in ("bad.zip", "bad.zip/bad.nupkg"):
        assert run.files[name]["error"]["code"] == "INSIDE_FAILED", run.text
    assert (
        "bad.nupkg, which is in it, failed: lib/broken.dll, which is in it" in run.files["bad.zip"]["error"]["message"]
    )
    assert "--inside" in run.files["bad.zip"]["error"]["remedy"]
    assert run.files["bad.zip/bad.nupkg/lib/good.dll"]["error"]["code"] == "NOT_TRIED"
    assert run.files["bad.zip/other.dll"]["error"]["code"] == "NOT_TRIED"


def test_what_others_signed_inside_stays_as_it_is(worker: Worker, tmp_path: Path) -> None:
    vendor, theirs = _by_another_publisher(worker, tmp_path)
    folder = drop(
        tmp_path, all_zip=zipped({"vendor.exe": vendor, "ours.dll": image(1)}), only_zip=zipped({"v.exe": vendor})
    )
    only = (folder / "only.zip").read_bytes()
    run = worker.sign(folder, "--trust-root", theirs)
    assert run.code == 0, run.text
    assert run.files["all.zip/vendor.exe"]["outcome"] == "skipped"
    assert run.files["all.zip/vendor.exe"]["signatures"][0]["subject"] == "CN=Vendor"
    assert entries(folder / "all.zip")["vendor.exe"] == vendor
    assert run.files["only.zip"]["outcome"] == "skipped"
    assert (folder / "only.zip").read_bytes() == only
    untrusted = worker.sign(folder)  # its root is not named any more: it does not verify
    assert untrusted.code == 1
    assert untrusted.files["all.zip/vendor.exe"]["error"]["code"] == "ALREADY_SIGNED"
    again = worker.sign(folder, "--replace")
    assert again.code == 0, again.text
    assert again.files["all.zip/vendor.exe"]["signatures"][0]["subject"] == "CN=Test publisher"


def _by_another_publisher(worker: Worker, tmp_path: Path) -> tuple[bytes, Path]:
    """A launcher that CN=Vendor signed, and the vendor's root."""
    other = tmp_path / "vendor"
    other.mkdir()
    file = signing_file(other, subject="Vendor", key=rsa_key(2048))
    path = copy_launcher(other)
    stamp = ("--timestamp-url", worker.publisher.timestamp_url, "--trust-root", worker.publisher.roots)
    run = kspsign("sign", path, *file.options, *stamp, "--trust-root", file.root, folder=other)
    assert run.code == 0, run.text
    return path.read_bytes(), file.root


def test_a_signed_container_with_unsigned_files_is_refused_unless_all_is_replaced(
    worker: Worker, tmp_path: Path
) -> None:
    folder = drop(tmp_path, a_nupkg=nuget({"lib/a.dll": image(1)}))
    assert worker.sign(folder, inside="--inside=false").code == 0
    signed = (folder / "a.nupkg").read_bytes()
    assert worker.verify(folder, inside="--inside=false").code == 0
    assert worker.verify(folder).code == 2
    refused = worker.sign(folder)
    assert refused.code == 2
    assert refused.files["a.nupkg/lib/a.dll"]["error"]["code"] == "TRUST_E_NOSIGNATURE"
    assert (folder / "a.nupkg").read_bytes() == signed
    assert worker.sign(folder, "--replace").code == 0
    assert worker.verify(folder).code == 0


def test_patterns_choose_what_is_inside(worker: Worker, tmp_path: Path) -> None:
    package = nuget(
        {"lib/A.dll": image(1), "lib/b.dll": image(2), "x/c.dll": image(3), "run.js": b"WScript.Echo(1);\r\n"}
    )
    folder = drop(tmp_path, a_nupkg=package, b_zip=zipped({"n.nupkg": package}))
    run = worker.sign(folder, "--inside=!**/b.dll", inside="--inside=**/lib/*.dll")
    assert run.code == 0, run.text
    inner = {path for path in run.files if path.endswith(".dll")}
    assert inner == {"a.nupkg/lib/A.dll", "b.zip/n.nupkg/lib/A.dll"}
    assert run.files["a.nupkg"]["inside"] == {"files": 1, "not_matched": 2 + 1, "not_signable": 2, "not_opened": ""}
    assert entries(folder / "a.nupkg")["lib/b.dll"] == image(2)
    named = worker.sign(folder, "--replace", inside="--inside=a.nupkg/run.js")
    assert named.code == 0, named.text
    assert {path for path in named.files if path.startswith("a.nupkg/")} == {"a.nupkg/run.js"}
    missing = worker.sign(folder, inside="--inside=a.nupkg/gone.dll")
    assert missing.code == 3
    assert "gone.dll" in missing.text
    idle = worker.sign(folder, inside="--inside=**/*.ocx")
    assert [warning["code"] for warning in idle.report["warnings"] if "INSIDE" in warning["code"]] == [
        "INSIDE_UNMATCHED"
    ]


@pytest.mark.parametrize("pattern", ["!(a)", "a;b", "'**'"])
def test_patterns_that_mean_something_else_are_refused(pattern: str, worker: Worker, tmp_path: Path) -> None:
    run = worker.sign(drop(tmp_path, a_zip=zipped({"a.dll": image(1)})), inside=f"--inside={pattern}")
    assert run.code == 3
    assert run.report["error"]["code"] == "PATTERN"


def test_a_policy_demands_the_inside(worker: Worker, tmp_path: Path) -> None:
    folder = drop(tmp_path, a_nupkg=nuget({"lib/a.dll": image(1), "lib/b.dll": image(2)}))
    policy = tmp_path / "release.yml"
    policy.write_text("inside: required\nsigned: {files: ['a.nupkg/lib/*.dll']}\n")
    assert worker.sign(folder, inside="--inside=**/a.dll").code == 0
    assert worker.verify(folder, inside="--inside=false").code == 0
    refused = worker.verify(folder, "--policy", policy, inside="--inside=false")
    assert refused.code == 2
    assert refused.files["a.nupkg/lib/b.dll"]["verdict"]["result"] == "failed"
    assert refused.files["a.nupkg"]["verdict"]["result"] == "failed"
    unsigned = tmp_path / "unsigned.yml"
    unsigned.write_text("inside: required\nunsigned: ['a.nupkg/lib/b.dll']\n")
    assert worker.verify(folder, "--policy", unsigned, inside="--inside=false").code == 0
    assert worker.sign(folder, "--replace", "--policy", policy).code == 0
    assert worker.verify(folder, "--policy", policy, inside="--inside=false").code == 0
    policy.write_text("signed: {files: ['a.nupkg/lib/c.dll']}\n")
    missing = worker.verify(folder, "--policy", policy)
    assert (missing.code, missing.report["error"]["code"]) == (2, "POLICY_REQUIRED")


def test_slices_take_whole_containers_and_merge(worker: Worker, tmp_path: Path) -> None:
    folder = drop(tmp_path, a_zip=zipped({"a.dll": image(1)}), b_zip=zipped({"b.dll": image(1)}), c_dll=image(1))
    reports = []
    for number in (1, 2):
        own = shutil.copytree(folder, tmp_path / str(number) / "drop")  # each job has its own
        run = worker.sign(own, "--slice", f"{number}/2", command="run")
        assert run.code == 0, run.text
        reports.append(tmp_path / f"slice-{number}.json")
        reports[-1].write_text(json.dumps(run.report))
    merged = kspsign("merge", *reports, folder=tmp_path)
    assert merged.code == 0, merged.text
    assert [*merged.files] == ["a.zip", "a.zip/a.dll", "b.zip", "b.zip/b.dll", "c.dll"]
    assert merged.report["passed"]


@pytest.mark.parametrize("command", ["run", "verify"])
@pytest.mark.parametrize(
    ("policy", "inside", "missing"),
    [
        ("signed: {files: ['a.zip/*.dll', 'b.zip/two.nupkg/**/b.dll', 'c.dll']}", "--inside", ""),
        ("signed: {files: ['*.zip/**/b.dll']}\ninside: required", "--inside=false", ""),
        ("signed: {files: ['a.zip/a.dll', 'b.zip/gone.dll']}", "--inside", "POLICY_REQUIRED"),
        ("signed: {files: ['b.zip/two.nupkg/lib/b.dll']}", "--inside=!b.zip/**", "POLICY_REQUIRED"),
        ("signed: {files: ['b.zip/two.nupkg/lib/b.dll']}", "--inside=false", "POLICY_REQUIRED"),
        ("name: any", "--inside=b.zip/two.nupkg/lib/b.dll", ""),
        ("name: any", "--inside=b.zip/two.nupkg/lib/gone.dll", "PATTERN"),
    ],
)
def test_each_slice_judges_what_is_named_over_all_slices(
    command: str, policy: str, inside: str, missing: str, worker: Worker, tmp_path: Path
) -> None:
    """As one run over all files does: a container of another slice holds it, or none does."""
    two = nuget({"lib/b.dll": image(2)})
    folder = drop(tmp_path, a_zip=zipped({"a.dll": image(1)}), b_zip=zipped({"two.nupkg": two}), c_dll=image(3))
    if command == "verify":
        assert worker.sign(folder).code == 0
    (tmp_path / "policy.yml").write_text(policy)
    codes = set()
    for part in ("1/3", "2/3", "3/3", None):
        own = shutil.copytree(folder, tmp_path / "job" / "drop")
        options = ("--policy", tmp_path / "policy.yml", *(("--slice", part) if part else ()))
        if command == "run":
            run = worker.sign(own, *options, inside=inside, command=command)
        else:
            run = worker.verify(own, *options, inside=inside)
        codes.add(run.report["error"]["code"] if run.report["error"] else "")
        assert "INSIDE_UNMATCHED" not in str(run.report["warnings"])
        shutil.rmtree(own.parent)
    assert codes == {missing}


def _nested(depth: int) -> bytes:
    content = image(1)
    for level in range(depth):
        content = zipped({f"{level}.zip" if level else "app.dll": content})
    return content


def _codes(run: Run, name: str) -> str:
    return str(run.files[name]["error"]["code"])


def test_hostile_archives_are_clear_errors(worker: Worker, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros.dll", bytes(200 << 20))
    outside = zipped({"../app.dll": image(1)})
    folder = drop(tmp_path, bomb_zip=bomb.read_bytes(), up_zip=outside, deep_zip=_nested(6), fine_zip=_nested(5))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    run = worker.sign(folder)
    assert run.code == 1
    assert _codes(run, "bomb.zip") == "ERROR_NOT_SUPPORTED"
    assert _codes(run, "up.zip") == "ERROR_BAD_FORMAT"
    assert _codes(run, "deep.zip") == "INSIDE_FAILED"
    assert "more than 5 deep" in run.text
    assert run.files["fine.zip"]["outcome"] == "rebuilt"
    assert run.report["totals"]["signatures_used"] == 1
    assert {path.name for path in folder.iterdir() if path.read_bytes() != before[path]} == {"fine.zip"}


def test_an_archive_without_signable_files_is_what_it_is_without_the_option(worker: Worker, tmp_path: Path) -> None:
    folder = drop(tmp_path, docs_zip=zipped({"readme.txt": README}), a_dll=image(1))
    run = worker.sign(folder)
    assert run.code == 0, run.text
    assert [*run.files] == ["a.dll"]
    assert run.report["left_out"]["files"][0]["path"] == "docs.zip"
    assert worker.verify(folder).files["docs.zip"]["error"]["code"] == "TRUST_E_SUBJECT_FORM_UNKNOWN"


def test_nothing_is_left_in_the_folder_for_temporary_files(worker: Worker, tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    abandoned = temp / "kspsign-private-inside-gone"
    abandoned.mkdir(parents=True)
    (abandoned / "in-use").touch()
    (abandoned / "1.dll").write_bytes(b"MZ")
    folder = drop(
        tmp_path, a_zip=zipped({"a.dll": image(1), "bad.dll": image(2)[:200]}), b_zip=zipped({"b.dll": image(3)})
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RUNNER_TEMP", str(temp))
        environment.setattr("tempfile.tempdir", str(temp))
        assert worker.sign(folder).code == 1
    assert [*temp.iterdir()] == []


def test_changed_content_of_a_zip_that_is_not_signable_is_not_judged(worker: Worker, tmp_path: Path) -> None:
    """A zip has no signature of its own: only its signed files are proved, which its row says."""
    folder = drop(tmp_path, a_zip=zipped({"a.dll": image(1), "readme.txt": README}))
    assert worker.sign(folder).code == 0
    (folder / "a.zip").write_bytes(changed((folder / "a.zip").read_bytes(), "readme.txt", b"other"))
    run = worker.verify(folder)
    assert run.code == 0
    assert run.files["a.zip"]["signatures"] == []
    assert run.files["a.zip"]["inside"]["not_signable"] == 1
