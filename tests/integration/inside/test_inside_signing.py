"""Everything inside is signed first: packages in archives, bundles of packages, one content in several places."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.formats.appx_samples import Package
from support.formats.nested import NUSPEC, README, changed, entries, image, nuget, zipped
from support.inside import Worker
from support.samples import Run
from support.signing import Publisher
from support.timestamping.server import Stamping

SHARED, OTHER = image(1), image(2)


@pytest.fixture(scope="module")
def signed(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A zip with two packages and a program, a package and a bundle, all signed inside and outside."""
    drop = tmp_path_factory.mktemp("nested") / "drop"
    drop.mkdir()
    one, two = nuget({"lib/shared.dll": SHARED}), nuget({"lib/shared.dll": SHARED, "lib/other.dll": OTHER})
    inside = {"one.nupkg": one, "readme.txt": README, "bin/two.nupkg": two, "bin/shared.exe": SHARED}
    (drop / "all.zip").write_bytes(zipped(inside))
    (drop / "three.nupkg").write_bytes(nuget({"tools/other.dll": OTHER}))
    packages = {
        f"{architecture}.msix": Package(
            files={"App.exe": image(number)}, identity=f' ProcessorArchitecture="{architecture}"'
        ).build()
        for number, architecture in enumerate(("x86", "x64"), start=3)
    }
    (drop / "app.msixbundle").write_bytes(Package().bundle(packages, ("x86", "x64")))
    return drop, worker.sign(drop)


def test_each_file_has_a_row_and_its_content_one_signature(signed: tuple[Path, Run]) -> None:
    _, run = signed
    assert run.code == 0, run.text
    outcomes = {path: (row["container"], row["outcome"], row["format"]) for path, row in run.files.items()}
    assert outcomes == {
        "all.zip": (None, "rebuilt", "zip"),
        "all.zip/bin/shared.exe": ("all.zip", "signed", "pe"),
        "all.zip/bin/two.nupkg": ("all.zip", "signed", "nuget"),
        "all.zip/bin/two.nupkg/lib/other.dll": ("all.zip/bin/two.nupkg", "signed", "pe"),
        "all.zip/bin/two.nupkg/lib/shared.dll": ("all.zip/bin/two.nupkg", "signed", "pe"),
        "all.zip/one.nupkg": ("all.zip", "signed", "nuget"),
        "all.zip/one.nupkg/lib/shared.dll": ("all.zip/one.nupkg", "signed", "pe"),
        "app.msixbundle": (None, "signed", "appx-bundle"),
        "app.msixbundle/x64.msix": ("app.msixbundle", "signed", "appx"),
        "app.msixbundle/x64.msix/App.exe": ("app.msixbundle/x64.msix", "signed", "pe"),
        "app.msixbundle/x86.msix": ("app.msixbundle", "signed", "appx"),
        "app.msixbundle/x86.msix/App.exe": ("app.msixbundle/x86.msix", "signed", "pe"),
        "three.nupkg": (None, "signed", "nuget"),
        "three.nupkg/tools/other.dll": ("three.nupkg", "signed", "pe"),
    }
    assert all(row["verdict"]["result"] == "verified" for row in run.files.values())
    # Two contents in five places, two programs of packages, and six packages and bundles.
    assert run.report["totals"]["signatures_used"] == 2 + 2 + 6
    assert run.files["all.zip"]["inside"] == {"files": 3, "not_matched": 0, "not_signable": 1, "not_opened": ""}


def test_what_is_not_signed_keeps_its_bytes_and_others_accept_what_is(
    signed: tuple[Path, Run], publisher: Publisher, tmp_path: Path
) -> None:
    archive = entries(signed[0] / "all.zip")
    package = entries(archive["bin/two.nupkg"])
    assert archive["readme.txt"] == package["readme.txt"] == README
    assert package["Contoso.nuspec"] == NUSPEC
    assert [*package] == ["Contoso.nuspec", "readme.txt", "lib/shared.dll", "lib/other.dll", ".signature.p7s"]
    for name, content in (("shared.dll", package["lib/shared.dll"]), ("app.exe", archive["bin/shared.exe"])):
        path = tmp_path / name
        path.write_bytes(content)
        assert publisher.peer(path).accepted
        path.write_bytes(content.replace(b"file 1", b"file 7"))
        assert not publisher.peer(path).accepted
    bundle = entries(signed[0] / "app.msixbundle")
    assert {"AppxSignature.p7x", "AppxBlockMap.xml"} <= entries(bundle["x64.msix"]).keys() & bundle.keys()


def test_verify_judges_the_same_tree(signed: tuple[Path, Run], worker: Worker) -> None:
    run = worker.verify(signed[0])
    assert run.code == 0, run.text
    assert run.files.keys() == signed[1].files.keys()
    assert {row["outcome"] for row in run.files.values()} == {"checked"}


def test_a_second_run_skips_all_of_it(signed: tuple[Path, Run], worker: Worker) -> None:
    before = {path: path.read_bytes() for path in signed[0].iterdir()}
    run = worker.sign(signed[0])
    assert run.code == 0, run.text
    assert {row["outcome"] for row in run.files.values()} == {"skipped"}
    assert run.report["totals"]["signatures_used"] == 0
    assert {path: path.read_bytes() for path in signed[0].iterdir()} == before


def _tampered(all_zip: bytes, three: bytes, bundle: bytes) -> dict[str, tuple[str, bytes]]:
    """Twins of the signed files, each changed in one way."""
    archive = entries(all_zip)
    two = archive["bin/two.nupkg"]
    dll, other = entries(two)["lib/shared.dll"], entries(two)["lib/other.dll"]
    package = entries(bundle)["x64.msix"]
    block_map = entries(package)["AppxBlockMap.xml"]

    def with_two(content: bytes) -> tuple[str, bytes]:
        return "all.zip", changed(all_zip, "bin/two.nupkg", content)

    return {
        "a program in a zip is changed": (
            "all.zip",
            changed(all_zip, "bin/shared.exe", dll.replace(b"file 1", b"file 7")),
        ),
        "a program in a zip is unsigned": ("all.zip", changed(all_zip, "bin/shared.exe", SHARED)),
        "a library in a package in a zip is changed": with_two(changed(two, "lib/other.dll", dll)),
        "what is not signed is changed": with_two(changed(two, "readme.txt", b"other")),
        "the manifest of a package is changed": with_two(changed(two, "Contoso.nuspec", b"<package />")),
        "the signature is that of another package": with_two(
            changed(two, ".signature.p7s", entries(three)[".signature.p7s"])
        ),
        "a library is taken from a signed package": (
            "three.nupkg",
            changed(three, "tools/other.dll", other + b"\0" * 8),
        ),
        "a program in a bundle is changed": (
            "app.msixbundle",
            changed(bundle, "x64.msix", changed(package, "App.exe", dll)),
        ),
        "a block map is rewritten": (
            "app.msixbundle",
            changed(
                bundle, "x64.msix", changed(package, "AppxBlockMap.xml", block_map.replace(b"<Block ", b"<Block  ", 1))
            ),
        ),
    }


def test_tampered_twins_are_refused(signed: tuple[Path, Run], worker: Worker, tmp_path: Path) -> None:
    drop = signed[0]
    names = ("all.zip", "three.nupkg", "app.msixbundle")
    twins = _tampered(*((drop / name).read_bytes() for name in names))
    folder = tmp_path / "twins"
    for number, (name, content) in enumerate(twins.values()):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / name).write_bytes(content)
    run = worker.verify(folder)
    assert run.code == 2
    outer = [row for row in run.files.values() if row["container"] is None]
    assert len(outer) == len(twins)
    accepted = [row["path"] for row in outer if row["verdict"]["result"] != "failed"]
    assert accepted == []
    assert all(row["error"] for row in outer)


def test_a_twin_packed_again_without_a_change_is_accepted(
    signed: tuple[Path, Run], worker: Worker, tmp_path: Path
) -> None:
    """The tampering of the test above refuses for what is changed, not for how it was packed."""
    folder = tmp_path / "twins"
    folder.mkdir()
    archive = (signed[0] / "all.zip").read_bytes()
    content = entries(archive)["bin/shared.exe"]
    (folder / "all.zip").write_bytes(changed(archive, "bin/shared.exe", content))
    assert worker.verify(folder).code == 0


def test_the_same_input_costs_what_a_dry_run_says(worker: Worker, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "all.zip").write_bytes(
        zipped({"one.nupkg": nuget({"a.dll": SHARED}), "two.nupkg": nuget({"b.dll": SHARED})})
    )
    before = (drop / "all.zip").read_bytes()
    dry = worker.sign(drop, "--dry-run")
    assert dry.code == 0, dry.text
    assert {row["outcome"] for row in dry.files.values()} == {"planned"}
    assert dry.report["totals"]["signatures_needed"] == 3
    assert (drop / "all.zip").read_bytes() == before
    short = worker.sign(drop, "--max-signatures", 2)
    assert short.code == 6
    assert short.report["totals"]["signatures_used"] == 2
    assert (drop / "all.zip").read_bytes() == before
    assert short.files["all.zip"]["error"]["code"] == "INSIDE_FAILED"
    # What was signed for a container that was not replaced is not signed in what is delivered.
    assert {row["outcome"] for row in short.files.values()} == {"failed"}
    assert all(row["error"] and not row["signatures"] for row in short.files.values())
    assert short.report["totals"]["verified"] == 0
    run = worker.sign(drop, "--max-signatures", 3)
    assert run.code == 0, run.text


@pytest.mark.parametrize("policy", ["", "inside: required\n"])
def test_names_of_one_container_are_signed_once_and_all_hold_it(policy: str, worker: Worker, tmp_path: Path) -> None:
    """Hard links: each is replaced in its turn, which changes the state of those that are left, not their content."""
    drop = tmp_path / "drop"
    drop.mkdir()
    package = nuget({"lib/shared.dll": SHARED})
    contents = {"nupkg": package, "zip": zipped({"bin/other.dll": OTHER, "two.nupkg": package})}
    for kind, content in contents.items():
        (drop / f"a.{kind}").write_bytes(content)
        for name in ("b", "c"):
            (drop / f"{name}.{kind}").hardlink_to(drop / f"a.{kind}")
    options: tuple[object, ...] = ("--jobs", 1)
    if policy:
        (tmp_path / "policy.yml").write_text(policy)
        options = (*options, "--policy", tmp_path / "policy.yml")
    dry = worker.sign(drop, *options, "--dry-run")
    run = worker.sign(drop, *options)
    assert (dry.code, run.code) == (0, 0), run.text
    for kind in contents:
        assert len({(drop / f"{name}.{kind}").read_bytes() for name in "abc"}) == 1
        rows = [{path[1:]: row["outcome"] for path, row in run.files.items() if path[0] == name} for name in "abc"]
        assert rows[0] == rows[1] == rows[2]
    assert run.files["c.zip"]["outcome"] == "rebuilt"
    assert len(run.files) == 3 * 6
    # Two programs and the package, which is in the archive too.
    assert (run.report["totals"]["signatures_used"], dry.report["totals"]["signatures_needed"]) == (3, 3)
    assert worker.verify(drop).code == 0


@pytest.mark.parametrize("changes", [False, True])
def test_a_container_that_loses_a_name_is_not_one_that_changes(
    changes: bool, authority: EmbeddedAuthority, worker: Worker, tmp_path: Path
) -> None:
    """While what is inside is signed, another process removes a name of the container, or changes its content too."""
    drop, other = tmp_path / "drop", tmp_path / "other.zip"
    drop.mkdir()
    path = drop / "all.zip"
    path.write_bytes(zipped({"bin/other.dll": OTHER, "readme.txt": README}))
    other.hardlink_to(path)
    before = path.stat()

    def meanwhile(number: int) -> float:
        if number == 2:  # the first is the preflight's
            if changes:
                with path.open("r+b") as file:
                    file.write(path.read_bytes().replace(b"readme.txt", b"README.txt"))
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            other.unlink()
        return 0.0

    with Stamping(authority, latency=meanwhile) as stamping:
        run = Worker(replace(worker.publisher, timestamp_url=stamping.url)).sign(drop)
    assert stamping.asked >= 2
    assert not other.exists()
    if changes:
        assert (run.code, run.files["all.zip"]["error"]["code"]) == (6, "ERROR_SHARING_VIOLATION"), run.text
        assert "README.txt" in entries(path.read_bytes())
    else:
        assert (run.code, run.files["all.zip"]["outcome"]) == (0, "rebuilt"), run.text
