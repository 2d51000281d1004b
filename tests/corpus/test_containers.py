"""Real containers, written again with one file changed: all else keeps its bytes, and their readers accept it.

NuGet packages, and wheels as ZIP archives. The registries have no MSIX packages, so openappx packs some of real
programs, and judges them too.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from fetch_corpus import manifest, targets
from openappx.bundle import build_bundle
from openappx.inspect import inspect_package
from openappx.pack_core import pack_python

from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.container import Container, open_container
from kspsign.authenticode.containers.payload import Payload, find_payloads
from kspsign.authenticode.containers.rebuild import check_rebuild, rebuild
from kspsign.authenticode.formats import detect_format
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.nuget import NugetFile
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ArtifactError
from support.formats.repacked import differing, readers_accept

FILES = [place for package in manifest() for place in targets(package).values()]
CONTAINERS = sorted(
    place
    for place in (*FILES, *(place for package in manifest() for place in targets(package, "containers").values()))
    if place.suffix in {".nupkg", ".whl"}
)
SIGNED_BY_OTHERS = {".signature.p7s"}
PROGRAMS = sorted(place for place in FILES if place.suffix in {".exe", ".dll"})
LAYOUTS = 10
MANIFEST = (
    '<?xml version="1.0" encoding="utf-8"?>\n<Package xmlns="http://schemas.microsoft.com/appx/manifest/foundation/'
    'windows10"><Identity Name="kspsign.Corpus" Publisher="CN=Corpus" Version="1.0.0.0" '
    'ProcessorArchitecture="{0}"/><Properties><DisplayName>Corpus</DisplayName></Properties></Package>'
)
SUFFIXES = (".dll", ".pyd", ".exe", ".ps1", ".js", ".json", ".cs", ".csproj")


def _copy(path: Path, folder: Path) -> Path:
    """The container under the name by which it is taken for one: a wheel as the ZIP archive that it is."""
    name = path.name if path.suffix != ".whl" else f"{path.stem}.zip"
    return Path(shutil.copy(path, folder / name))


def _changed(container: Container, folder: Path) -> dict[str, Path]:
    """A signable file of the container, or one like it, as it might be once signed."""
    order = {suffix: number for number, suffix in enumerate(SUFFIXES)}
    entry = min(container.entries, key=lambda one: order.get(Path(one.name).suffix.lower(), len(order)))
    target = folder / "changed"
    container.extract(entry, target)
    target.write_bytes(target.read_bytes() + bytes(range(256)) * 40)
    return {entry.name: target}


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.name)
def test_all_but_the_changed_file_keeps_its_bytes(path: Path, tmp_path: Path) -> None:
    copy, same, target = _copy(path, tmp_path), tmp_path / f"same{path.suffix}", tmp_path / f"signed{path.suffix}"
    container = open_container(copy, Bounds())
    if not container.is_signed:
        rebuild(container, {}, same)
        assert same.read_bytes() == path.read_bytes()
    changed = _changed(container, tmp_path)
    if container.is_signed:
        with pytest.raises(ArtifactError, match="it is signed"):
            rebuild(container, changed, target)
        assert not target.exists()
    rebuild(container, changed, target, drop_signature=True)
    assert differing(path, target, without=SIGNED_BY_OTHERS) == set(changed)
    readers_accept(target)
    if path.suffix == ".nupkg":
        digest = NugetFile.open(Snapshot(target)).digest([])
        assert [found.detail for found in digest.findings if found.hresult is not None] == []


def test_there_are_enough_of_each_kind() -> None:
    counted = {suffix: sum(path.suffix == suffix for path in CONTAINERS) for suffix in (".nupkg", ".whl")}
    assert counted[".nupkg"] >= 10
    assert counted[".whl"] >= 10


@pytest.mark.parametrize("path", [path for path in CONTAINERS if path.suffix == ".whl"], ids=lambda path: path.name)
def test_the_record_of_a_wheel_states_the_digest_of_each_file(path: Path, tmp_path: Path) -> None:
    container = open_container(_copy(path, tmp_path), Bounds())
    with pytest.raises(ArtifactError, match=r"RECORD states the digest of"):
        check_rebuild(container, _changed(container, tmp_path).keys())


@pytest.mark.parametrize("path", [path for path in CONTAINERS if path.suffix != ".whl"], ids=lambda path: path.name)
def test_nothing_in_another_container_keeps_it_from_being_signed_inside(path: Path, tmp_path: Path) -> None:
    container = open_container(_copy(path, tmp_path), Bounds())
    check_rebuild(container, [entry.name for entry in container.entries], drop_signature=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Packages of real programs, as openappx packs them."""
    folder = tmp_path_factory.mktemp("packages")
    found = {}
    for number in range(LAYOUTS):
        layout, architecture = folder / f"layout {number}", ("x64", "x86", "arm64", "arm", "neutral")[number % 5]
        for place in PROGRAMS[number * 3 : number * 3 + 3]:
            (layout / "VFS" / place.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(place, layout / "VFS" / place.parent.name)
        (layout / "AppxManifest.xml").write_text(MANIFEST.format(architecture), encoding="utf-8")
        (layout / "read me [1].txt").write_text("100 %", encoding="utf-8")
        found[f"{number}.msix"] = pack_python(layout, folder / f"{number}.msix")
    return found


@pytest.mark.parametrize("number", range(LAYOUTS))
def test_a_package_of_real_programs_still_coheres(number: int, packages: Mapping[str, Path], tmp_path: Path) -> None:
    path, target = packages[f"{number}.msix"], tmp_path / "signed.msix"
    container = open_container(path, Bounds())
    changed = _changed(container, tmp_path)
    check_rebuild(container, changed.keys())
    rebuild(container, changed, target)
    assert inspect_package(path)["problems"] == inspect_package(target)["problems"] == []
    assert differing(path, target) == {name.replace(" ", "%20") for name in changed} | {"AppxBlockMap.xml"}
    readers_accept(target)


def test_a_bundle_of_such_packages_still_coheres(packages: Mapping[str, Path], tmp_path: Path) -> None:
    path, target = tmp_path / "some.msixbundle", tmp_path / "signed.msixbundle"
    build_bundle([packages[f"{number}.msix"] for number in range(4)], path)
    changed: dict[str, Path] = {}
    for number in (0, 2):
        inner = open_container(packages[f"{number}.msix"], Bounds())
        folder = tmp_path / str(number)
        folder.mkdir()
        rebuild(inner, _changed(inner, folder), changed.setdefault(f"{number}.msix", folder / "signed.msix"))
    rebuild(open_container(path, Bounds()), changed, target)
    assert inspect_package(path)["problems"] == inspect_package(target)["problems"] == []
    rewritten = {"AppxMetadata/AppxBundleManifest.xml", "AppxBlockMap.xml"}
    assert differing(path, target) == rewritten | changed.keys()


def test_real_installers_hold_what_is_not_signed_with_them() -> None:
    held = {
        place.name: [(found.place, found.kind, len(found.files)) for found in payloads]
        for place in FILES
        if place.suffix in {".exe", ".msi", ".dll"} and (payloads := _payloads(place))
    }
    assert held == {
        "Setup.exe": [("in its resources", "a ZIP archive", 0)],
        "verdan32.exe": [("in its resources", "a cabinet", 6)],
        "WdfCoinstaller01009.dll": [("in its resources", "a cabinet", 2)],
        "ViGEmBusSetup_x64.msi": [("cab1.cab", "a cabinet", 6)],
        "ViGEmBusSetup_x86.msi": [("cab1.cab", "a cabinet", 6)],
    }


def _payloads(place: Path) -> tuple[Payload, ...]:
    snapshot = Snapshot(place)
    return find_payloads(snapshot, detect_format(Glimpse.of(snapshot)))
