"""The table of formats: every format has a row, every row leads to a format, and nothing is loaded before its turn."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kspsign.authenticode import formats
from kspsign.authenticode.formats import CLUES, FORMATS, detect_format, load_format, open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import DetachableProfile
from kspsign.authenticode.script.styles import STYLES
from kspsign.authenticode.signable import HEAD, Glimpse, SignableFormat
from kspsign.model.values import Format
from support.formats import vsix_samples
from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.cat_samples import catalogue, trust_list
from support.formats.clickonce_samples import application_manifest, deployment_manifest
from support.formats.compound_builder import MSI, Folder, write_compound
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.formats.unsigned import EVERY_FORMAT


def test_every_format_has_a_row() -> None:
    assert set(FORMATS) == set(Format)


@pytest.mark.parametrize("format_", Format)
def test_every_row_leads_to_a_format(format_: Format) -> None:
    found = load_format(format_)
    assert isinstance(found, SignableFormat)
    assert found is load_format(format_)


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_the_table_knows_the_profile_that_files_are_signed_in_two_phases_with(name: str, tmp_path: Path) -> None:
    """A digest document is read without the files."""
    path = tmp_path / name
    path.write_bytes(EVERY_FORMAT[name]())
    format_ = detect_format(Glimpse.of(Snapshot(path)))
    assert format_ is not None
    profile = open_signable(path, format_).profile
    assert isinstance(profile, DetachableProfile)
    assert type(load_format(format_).detachable) is type(profile)


def test_manifests_are_not_signed_in_two_phases() -> None:
    for format_ in (Format.CLICKONCE_APPLICATION, Format.CLICKONCE_DEPLOYMENT):
        assert load_format(format_).detachable is None


def test_every_row_has_a_format_of_its_own() -> None:
    assert len({id(load_format(format_)) for format_ in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("kspsign.authenticode.navx:NavxFile", TypeError),
        ("kspsign.authenticode.navx:ABSENT", AttributeError),
        ("kspsign.authenticode.absent:NAVX", ModuleNotFoundError),
    ],
)
def test_a_row_that_leads_elsewhere_is_refused(row: str, error: type[Exception]) -> None:
    """What the tests above would find."""
    with pytest.raises(error):
        formats.resolve(row)


def test_a_format_is_loaded_when_a_file_may_need_it() -> None:
    """Detecting a PE image asks the first row alone."""
    code = (
        "import sys; from pathlib import Path; from kspsign.authenticode.formats import detect_format;"
        "from kspsign.authenticode.signable import Glimpse;"
        "head = b'MZ' + bytes(58) + (64).to_bytes(4, 'little') + b'PE\\0\\0';"
        "print(detect_format(Glimpse(Path('a.exe'), head, len(head))));"
        "print(*sorted(name for name in sys.modules if name.startswith('kspsign.authenticode.')))"
    )
    format_, loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    modules: Mapping[Format, str] = {kind: row.partition(":")[0] for kind, row in FORMATS.items()}
    assert format_ == Format.PE
    assert modules[Format.PE] in loaded.split()
    assert not {module for kind, module in modules.items() if kind is not Format.PE} & set(loaded.split())


def test_a_file_of_no_format_loads_none_that_has_a_clue() -> None:
    code = (
        "import sys; from pathlib import Path; from kspsign.authenticode.formats import FORMATS, detect_format;"
        "from kspsign.authenticode.signable import Glimpse;"
        "print(detect_format(Glimpse(Path('report.json'), b'{}', 2)));"
        "print(*sorted({row.partition(':')[0] for row in FORMATS.values()} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    asked = {row.partition(":")[0] for kind, row in FORMATS.items() if kind not in CLUES}
    assert done.stdout.splitlines() == ["None", " ".join(sorted(asked))]


def _samples(tmp_path: Path) -> Iterator[tuple[Format, bytes]]:
    """A file of each format that is detected by content, and both forms of a catalogue."""
    write_compound(tmp_path / "sample.msi", Folder({"cab": b"1"}, MSI))
    yield Format.MSI, (tmp_path / "sample.msi").read_bytes()
    yield Format.PE, build_pe()
    yield Format.CAB, build_cab()
    yield Format.CAT, catalogue()
    yield Format.CAT, trust_list({"a": b"1"})
    yield Format.NAVX, build_navx()
    yield Format.NUGET, package()
    yield Format.VSIX, vsix_samples.package()
    yield Format.APPX, Package().build()
    yield Format.APPX_BUNDLE, Package().bundle({"x64.msix": Package().build()})


def test_no_format_takes_a_file_without_its_clue(tmp_path: Path) -> None:
    """Whole, cut off, and under every name that decides anything: what a module takes, its clue lets through."""
    named = ("msi", "nupkg", "vsix", "appx", "msixbundle", "manifest", "vsto", *(suffix[1:] for suffix in STYLES))
    names = ["x.bin", *(f"x.{suffix}" for suffix in named)]
    taken = set()
    manifests = application_manifest({}), deployment_manifest("a.manifest", b"")
    others = ((None, text) for text in (b"", b"PK", b"M", *manifests))
    for number, (kind, content) in enumerate([*_samples(tmp_path), *others]):
        for name, size in itertools.product(names, (len(content), len(content) // 2, 80, 40, 8, 4, 1)):
            path = tmp_path / str(number) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content[:size])
            glimpse = Glimpse(path, content[:size][:HEAD], len(content[:size]))
            takers = {format_ for format_ in FORMATS if load_format(format_).detect(glimpse)}
            assert all(CLUES[format_].is_in(glimpse.head, path.suffix.lower()) for format_ in takers & set(CLUES))
            taken |= takers
            if size == len(content) and name == "x.bin" and kind is not None:
                assert kind in takers
    assert taken >= set(CLUES)


@pytest.mark.parametrize("name", ["x.nupkg", "x.SNUPKG", "x.vsix", "x.msix", "x.AppxBundle"])
def test_a_name_whose_reader_finds_no_signature_in_the_content(tmp_path: Path, name: str) -> None:
    """NuGet, Visual Studio and Windows' installer read these by name: a program or cabinet is unsigned to them."""
    for content in (build_pe(overlay=b"PK"), build_cab()):
        path = tmp_path / name
        path.write_bytes(content)
        assert detect_format(Glimpse(path, content[:4096], len(content))) is None
        path.unlink()
        other = tmp_path / "x.bin"
        other.write_bytes(content)
        assert detect_format(Glimpse(other, content[:4096], len(content))) in {Format.PE, Format.CAB}


@pytest.mark.parametrize("name", ["x.msix", "x.appx", "x.vsix", "x.msixbundle"])
def test_a_nuget_package_by_another_packages_name(tmp_path: Path, name: str) -> None:
    content = package()
    for named, expected in ((name, None), ("x.nupkg", Format.NUGET), ("x.zip", Format.NUGET)):
        path = tmp_path / named
        path.write_bytes(content)
        assert detect_format(Glimpse(path, content[:4096], len(content))) is expected
