"""What Windows' reader asks of block map and bundle: refused before a signature is spent, and in a package that another
tool signed without asking. Each refused sample differs from the accepted one in one thing."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from support.certificates import rsa_key, signing_file
from support.formats.appx_samples import FILES, Package, content_types
from support.formats.zips import BLOCK, Part
from support.samples import assert_no_leftovers
from support.signing import Publisher, signed_by_peer

MAP, HASH = "APPX_E_INVALID_BLOCKMAP", "APPX_E_BLOCK_HASH_INVALID"
SIZES = [len(packed) for packed in Part("App.exe", FILES["App.exe"], deflate=True).blocks]
WHOLE = base64.b64encode(hashlib.sha256(FILES["App.exe"]).digest()).decode()
OTHER = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
B4 = 'xmlns:b4="http://schemas.microsoft.com/appx/2021/blockmap"'
IGNORED = 'xmlns:x="urn:x" IgnorableNamespaces="x"'
FIRST_END, ROOT, PNG = '</File><File Name="Assets', "<BlockMap ", "Assets\\Größe"


def file_hash(value: str) -> dict[str, str]:
    return {ROOT: f"{ROOT}{B4} ", FIRST_END: f'<b4:FileHash Hash="{value}"/>{FIRST_END}'}


def sized(*sizes: int) -> dict[str, str]:
    """The packed sizes of App.exe's blocks replaced by these."""
    return {f'Size="{old}"/>': f'Size="{new}"/>' for old, new in zip(SIZES, sizes, strict=True) if old != new}


A, B, C = SIZES
LAST = '"/></File><File Name="AppxM'
ONE_MORE = {f'"{C}"/></File>': f'"{C}"/><Block Hash="{OTHER}" Size="1"/></File>'}
ACCEPTED: dict[str, Package] = {
    "as MakeAppx packs": Package(),
    "a hash of a whole file": Package(block_map=file_hash(WHOLE)),
    "an ignorable element": Package(block_map={ROOT: f"{ROOT}{IGNORED} ", FIRST_END: f"<x:a><x:b/></x:a>{FIRST_END}"}),
    "a stored file's full block": Package(
        files={"full.png": b"p" * BLOCK}, block_map={LAST: f'" Size="65536{LAST}'}
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "slashes": ({PNG: PNG.replace("\\", "/")}, MAP, '"/" between folders'),
    "a name that leads up": ({PNG: "..\\" + PNG}, MAP, "is not a name"),
    "no size": ({f' Size="{B}"/>': "/>"}, MAP, "has no size"),
    "no sizes at all": ({f' Size="{size}"/>': "/>" for size in SIZES}, MAP, "has no size"),
    "a size of nothing": (sized(0, B, C), MAP, "has no size"),
    "a sum that is less": (sized(A, B, C - 1), MAP, "takes"),
    "a border one byte early": (sized(A - 1, B + 1, C), HASH, "packed size"),
    "a border one byte late": (sized(A + 1, B - 1, C), HASH, "packed size"),
    "a size of a stored file": ({'CR4="/>': 'CR4=" Size="104"/>'}, MAP, "is stored"),
    "another hash of a whole file": (file_hash(OTHER), HASH, "FileHash"),
    "two hashes of a whole file": (
        {ROOT: f"{ROOT}{B4} ", FIRST_END: f'<b4:FileHash Hash="{WHOLE}"/>' * 2 + FIRST_END}, MAP, "two FileHashes",
    ),
    "a block after the hash of the whole": (
        {ROOT: f"{ROOT}{B4} ", "<Block Hash": f'<b4:FileHash Hash="{WHOLE}"/><Block Hash'}, MAP, "follows a FileHash",
    ),
    "a block too many": (ONE_MORE, MAP, "has 3 blocks"),
    "an unknown element": ({FIRST_END: f"<Blocks/>{FIRST_END}"}, MAP, "element Blocks"),
    "a foreign element": ({FIRST_END: f'<x:a xmlns:x="urn:x"/>{FIRST_END}'}, MAP, "element a is not allowed"),
    "a file in a file": ({FIRST_END: f'<File Name="b" Size="0" LfhSize="31"/>{FIRST_END}'}, MAP, "not allowed"),
    "an unknown attribute": ({"<File Name": '<File Encrypted="0" Name'}, MAP, "Encrypted"),
    "a name twice": ({'Name="empty.txt"': 'Name="APP.EXE"'}, MAP, "occurs twice"),
}  # fmt: skip


@pytest.mark.parametrize("package", ACCEPTED.values(), ids=ACCEPTED)
def test_block_maps_that_windows_reads(package: Package, publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(package.build())
    run = publisher.sign(path)
    assert run.code == 0, run.text
    assert publisher.peer(path).accepted


@pytest.mark.parametrize(("changed", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_block_maps_that_windows_refuses(
    changed: dict[str, str], code: str, words: str, publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / "some.msix"
    path.write_bytes(Package(block_map=changed).build())
    before = path.read_bytes()
    run = publisher.sign(path)
    assert (run.code, run.error_code) == (6, code), run.text
    assert words in run.file["error"]["message"], run.text
    assert (run.report["totals"]["signatures_used"], path.read_bytes()) == (0, before)
    by_peer = publisher.verify(signed_by_peer(publisher, path), "--no-timestamp")
    assert (by_peer.code, by_peer.error_code) == (2, code), by_peer.text


APPLICATION = 'Type="application" '
PLAIN, ARM = Package(), Package(identity=' ProcessorArchitecture="arm64"')
X86 = ' ProcessorArchitecture="x86"'
GERMAN = ' ResourceId="split.language-de"'
TEXTS = Package(identity=GERMAN, properties="<ResourcePackage>true</ResourcePackage>")
BUNDLES: dict[str, tuple[Package, dict[str, str], str]] = {
    "another version": (PLAIN, {'Version="1.0.0.0" FileName': 'Version="9.0.0.0" FileName'}, "version"),
    "another name": (PLAIN, {'Name="kspsign.test"': 'Name="kspsign.rest"'}, "name"),
    "an architecture that is not stated": (ARM, {}, "architecture"),
    "another architecture": (ARM, {APPLICATION: APPLICATION + 'Architecture="x64" '}, "architecture"),
    "another resource id": (PLAIN, {APPLICATION: APPLICATION + 'ResourceId="a" '}, "resource id"),
    "an application that is none": (TEXTS, {APPLICATION: f"{APPLICATION}{GERMAN} "}, "type"),
    "only resource packages": (TEXTS, {APPLICATION: f'Type="resource"{GERMAN} '}, "application package"),
    "another type": (PLAIN, {'"application"': '"framework"'}, "Type"),
    "another offset": (PLAIN, {'Offset="': 'Offset="1'}, "is not stored at the stated"),
    "another size": (PLAIN, {' Size="': ' Size="1'}, "is not stored at the stated"),
    "a package that is not there": (PLAIN, {'FileName="a.msix"': 'FileName="b.msix"'}, "is not stored at the stated"),
    "a package that is not listed": (PLAIN, {'Offset="': 'Place="'}, "is in the package, not in its block map"),
    "a version that is not stated": (PLAIN, {'Version="1.0.0.0" FileName': "FileName"}, "version"),
    "a version with a leading zero": (PLAIN, {'Version="1.0.0.0" FileName': 'Version="01.0.0.0" FileName'}, "version"),
    "an offset that Python reads and Windows does not": (PLAIN, {'Offset="': 'Offset="0_'}, "Offset"),
    "a size with a space": (PLAIN, {' Size="': ' Size=" '}, "Size"),
    "a namespace that is no bundle's": (
        PLAIN, {"http://schemas.microsoft.com/appx/2013/bundle": "urn:bundle"}, "of another namespace",
    ),
    "packages in a namespace of their own": (
        PLAIN, {"<Packages>": '<Packages xmlns="urn:packages">'}, "is in the package, not in its block map",
    ),
    "a package twice": (
        PLAIN, {"</Packages>": '<Package Version="1.0.0.0" FileName="A.msix"/></Packages>'}, "names a package twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("inner", "changed", "words"), BUNDLES.values(), ids=BUNDLES)
def test_bundles_that_do_not_say_what_their_packages_say(
    inner: Package, changed: dict[str, str], words: str, publisher: Publisher, tmp_path: Path
) -> None:
    check_refused(Package(bundle_manifest=changed).bundle({"a.msix": inner.build()}), words, publisher, tmp_path)


def test_a_bundle_needs_packages_and_its_block_map_none_of_them(publisher: Publisher, tmp_path: Path) -> None:
    check_refused(Package().bundle({}), "application package", publisher, tmp_path)
    mapped = {"<File ": '<File Name="a.msix" Size="0" LfhSize="36"/><File '}
    bundle = Package(block_map=mapped).bundle({"a.msix": PLAIN.build()})
    check_refused(bundle, "must not be in the block map", publisher, tmp_path)
    packed = Package(extra=[Part("a.msix", PLAIN.build(), deflate=True, descriptor=True)])
    check_refused(packed.bundle({"a.msix": PLAIN.build()}), "is not stored at the stated", publisher, tmp_path)
    named = Package().bundle({"a.dll": PLAIN.build()})
    check_refused(named, "does not end in .appx or .msix", publisher, tmp_path)


def test_two_packages_of_one_identity(publisher: Publisher, tmp_path: Path) -> None:
    """Windows installs one of them, and nothing signed says which."""
    other = Package(files={"App.exe": b"MZ another"}).build()
    bundle = Package().bundle({"a.msix": PLAIN.build(), "b.msix": other})
    check_refused(bundle, "two packages in it have one identity", publisher, tmp_path)


NAMES = (
    "App:x.exe", "a|b.exe", "what?.exe", "CON.txt", "d/aux.exe", "lpt1", "d /b.exe", "d./b.exe", "b.exe ", "xn--b.exe",
    "a\x07.exe", f"{'n' * 252}.exe",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_which_windows_makes_no_file(name: str, publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    types = content_types(more=f'<Override PartName="/{quote(name)}" ContentType="application/octet-stream"/>')
    path.write_bytes(Package(files={name: b"MZ"}, types=types).build())
    run = publisher.sign(path)
    assert (run.code, run.report["totals"]["signatures_used"]) == (6, 0), run.text
    assert run.error_code in {"APPX_E_INVALID_BLOCKMAP", "ERROR_BAD_FORMAT"}


def test_names_that_only_look_like_a_device(publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "some.msix"
    names = ("console.exe", "d/auxiliary.exe", "com10.exe", "nul_.exe", ".hidden.exe", f"{'n' * 251}.exe")
    path.write_bytes(Package(files=dict.fromkeys(names, b"MZ")).build())
    assert publisher.sign(path).code == 0


def check_refused(bundle: bytes, words: str, publisher: Publisher, tmp_path: Path) -> None:
    """Nobody signs the bundle, and nobody who did is believed."""
    path = tmp_path / "some.msixbundle"
    path.write_bytes(bundle)
    before = path.read_bytes()
    run = publisher.sign(path)
    assert (run.code, run.report["totals"]["signatures_used"], path.read_bytes()) == (6, 0, before), run.text
    assert words in run.file["error"]["message"], run.text
    assert run.error_code in {"APPX_E_INVALID_MANIFEST", "APPX_E_INVALID_BLOCKMAP"}
    assert publisher.verify(signed_by_peer(publisher, path), "--no-timestamp").code == 2


def test_a_bundle_that_says_what_its_packages_say(publisher: Publisher, tmp_path: Path) -> None:
    first = f'{APPLICATION}Architecture="arm64" '
    stated = {APPLICATION: first, f"{APPLICATION}Version": f'Type="resource"{GERMAN} Version'}
    path = tmp_path / "some.msixbundle"
    path.write_bytes(Package(bundle_manifest=stated).bundle({"app.msix": ARM.build(), "de.msix": TEXTS.build()}))
    run = publisher.sign(path)
    assert run.code == 0, run.text
    assert publisher.peer(path).accepted


def test_inner_signatures_are_judged_as_the_outer_one(publisher: Publisher, tmp_path: Path) -> None:
    """A package signed below another root in the publisher's own name: by the name alone nobody tells it apart."""
    stranger = replace(publisher, file=signing_file(tmp_path, key=rsa_key(2048)))
    inner = tmp_path / "a.msix"
    inner.write_bytes(Package().build())
    foreign = signed_by_peer(stranger, inner)
    path = tmp_path / "some.msixbundle"
    path.write_bytes(Package().bundle({"a.msix": foreign.read_bytes()}))
    run = publisher.sign(path)
    assert run.report["totals"]["signatures_used"] == 0
    assert (run.code, run.error_code) == (6, "CERT_E_UNTRUSTEDROOT"), run.text
    assert "a.msix inside: " in run.text
    by_peer = publisher.verify(signed_by_peer(publisher, path), "--no-timestamp")
    assert (by_peer.code, by_peer.error_code) == (2, "CERT_E_UNTRUSTEDROOT"), by_peer.text
    assert "inner-signatures" in by_peer.file["error"]["message"]
    ours = signed_by_peer(publisher, inner)
    path.write_bytes(Package().bundle({"a.msix": ours.read_bytes()}))
    bundle = signed_by_peer(publisher, path)
    assert publisher.verify(bundle, "--no-timestamp").code == 0
    assert publisher.stamp(bundle).error_code == "TRUST_E_TIME_STAMP", "the inner signature has no timestamp"


def test_a_bundle_of_unsigned_packages_is_signed_inside_out(publisher: Publisher, tmp_path: Path) -> None:
    packages = {
        "x64.msix": Package(files={"App.exe": b"MZ" + bytes(range(256)) * 600}).build(),
        "arm%2064.msix": Package(files={}, zip64=False, identity=ARM.identity).build(),
    }
    signed = tmp_path / "signed.msix"
    signed.write_bytes(Package(files={"kept.txt": b"kept"}, identity=X86).build())
    assert publisher.sign(signed).code == 0
    path = tmp_path / "some.msixbundle"
    path.write_bytes(Package().bundle({**packages, "signed.msix": signed.read_bytes()}, ("", "arm64", "x86")))
    before = path.read_bytes()
    plan = publisher.sign(path, "--dry-run")
    assert (plan.report["totals"]["signatures_needed"], path.read_bytes()) == (3, before)
    spent = publisher.sign(path, "--max-signatures", "2")
    assert (spent.error_code, path.read_bytes()) == ("BUDGET_SPENT", before)
    run = publisher.sign(path)
    assert (run.code, run.file["outcome"], run.report["totals"]["signatures_used"]) == (0, "signed", 3), run.text
    assert run.file["sha256_before"] == hashlib.sha256(before).hexdigest()
    assert publisher.peer(path).accepted
    assert publisher.verify(path).code == 0
    assert_no_leftovers(tmp_path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        for name in packages:
            assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED
            one = tmp_path / f"out-{name}"
            one.write_bytes(archive.read(name))
            assert publisher.peer(one).accepted
            assert publisher.verify(one).code == 0
        assert archive.read("signed.msix") == signed.read_bytes()
        as_by_makeappx(path, archive)
    assert names == [
        "x64.msix", "arm%2064.msix", "signed.msix", "AppxMetadata/AppxBundleManifest.xml", "AppxBlockMap.xml",
        "[Content_Types].xml", "AppxSignature.p7x",
    ]  # fmt: skip
    assert publisher.sign(path).file["outcome"] == "skipped"


def as_by_makeappx(path: Path, archive: zipfile.ZipFile) -> None:
    """The manifest has each package where its bytes are, and the block map has the manifest: read by text alone."""
    data = path.read_bytes()
    manifest = archive.read("AppxMetadata/AppxBundleManifest.xml")
    for name in ("x64.msix", "arm 64.msix", "signed.msix"):
        tag = manifest[manifest.index(f'FileName="{name}"'.encode()) :].partition(b"/>")[0].decode()
        offset, size = (int(tag.partition(f' {key}="')[2].partition('"')[0]) for key in ("Offset", "Size"))
        assert data[offset : offset + size] == archive.read(name.replace(" ", "%20"))
    block_map = archive.read("AppxBlockMap.xml").decode()
    assert base64.b64encode(hashlib.sha256(manifest).digest()).decode() in block_map
    assert f'Name="AppxMetadata\\AppxBundleManifest.xml" Size="{len(manifest)}" LfhSize="65"' in block_map


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (Package(publisher="CN=Other"), "the package a.msix in the bundle: the manifest's Publisher"),
        (Package(algorithm="sha512"), "the package a.msix in the bundle: its block map is made with sha512"),
        (Package(block_map={'LfhSize="37"': 'LfhSize="38"'}), "the package a.msix in the bundle: App.exe"),
        (Package(extra=[Part("App.exe", b"MZ", deflate=True, descriptor=True)]), "a.msix"),
    ],
    ids=["publisher", "digest", "block map", "content"],
)
def test_an_unsigned_package_that_would_not_install_costs_no_signature(
    inner: Package, words: str, publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / "some.msixbundle"
    path.write_bytes(Package().bundle({"b.msix": ARM.build(), "a.msix": inner.build()}, ("arm64",)))
    run = publisher.sign(path)
    assert (run.code, run.report["totals"]["signatures_used"]) == (6, 0), run.text
    assert words in run.text
