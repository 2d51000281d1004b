"""Packages of every shape: signed, accepted by the peer, still read by msitools, and nothing in them changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.authenticode.compound import CompoundFile
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.compound_builder import MSI, MSP, MST, WORD, Folder, Zeros, write_compound
from support.formats.msi_samples import (
    msitools_package,
    msitools_reads,
    package_of_version_4,
    patch_tree,
    peer_digests,
    sample_tree,
    tree_of,
)
from support.pki import Key
from support.samples import Run, Store, assert_no_leftovers, kspsign, osslsigncode_verify

SIGNATURE, METADATA = "\5DigitalSignature", "\5MsiDigitalSignatureEx"
FULL = 109 * 128 - 109 - 6  # sectors of a stream that leave no room in a FAT which needs no DIFAT
DEEP = Folder({"inner": Folder({"empty": Folder({}, class_id=MSI), "leaf": b"leaf"})}, class_id=bytes(range(16)))
SHAPES: dict[str, Callable[[Path], object]] = {
    "made by msitools": lambda path: path.write_bytes(msitools_package()),
    "version 4": package_of_version_4,
    "in pieces": lambda path: write_compound(path, sample_tree(), pieces=True),
    "version 4 in pieces": lambda path: write_compound(path, sample_tree(), major=4, pieces=True),
    "patch with storages": lambda path: write_compound(path, patch_tree()),
    "version 4 patch with storages": lambda path: write_compound(path, patch_tree(), major=4),
    "storages in storages, empty ones": lambda path: write_compound(path, patch_tree(none=Folder({}), deep=DEEP)),
    "transform without small streams": lambda path: write_compound(path, Folder({"a": b"x" * 4096}, class_id=MST)),
    "nothing in it": lambda path: write_compound(path, Folder({}, class_id=MSP)),
    "one full directory sector": lambda path: write_compound(path, sample_tree(**numbered(22)), major=4),
    "the last FAT without DIFAT": lambda path: write_compound(path, sample_tree(a=Zeros(FULL * 512))),
    "several DIFAT sectors": lambda path: write_compound(path, sample_tree(a=Zeros(24 << 20), b=b"end" * 9999)),
    "metadata in every field": lambda path: write_compound(
        path, Folder({**patch_tree().children, METADATA: bytes(32)}, class_id=MSP, state=b"\1\2\3\4", times=b"\0" * 16)
    ),
}
KEYS: dict[str, tuple[Callable[[], Key], str]] = {
    "RSA-2048": (lambda: rsa_key(2048), "sha512"),
    "RSA-3072": (lambda: rsa_key(3072), "sha384"),
    "RSA-4096": (lambda: rsa_key(4096), "sha256"),
    "P-256": (lambda: ec.generate_private_key(ec.SECP256R1()), "sha256"),
    "P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), "sha384"),
    "P-521": (lambda: ec.generate_private_key(ec.SECP521R1()), "sha512"),
}


def numbered(count: int) -> dict[str, bytes]:
    """Streams by number."""
    return {f"stream{index}": b"content" * index for index in range(count)}


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


def unsigned_tree(path: Path) -> Folder:
    """What the file contains, without signatures."""
    tree = tree_of(path)
    for name in (SIGNATURE, METADATA):
        tree.children.pop(name, None)
    return tree


def checks(run: Run) -> dict[str, str]:
    return {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "setup.msi"
    path.write_bytes(msitools_package())
    return path


@pytest.mark.parametrize("stamp", [True, False], ids=["stamped", "small signature"])
@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_it_is_signed_as_the_peer_would(
    make: Callable[[Path], object], stamp: bool, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "setup.msi"
    make(path)
    before, contained = CompoundFile.open(Snapshot(path)), unsigned_tree(path)
    run = sign(path, store, *(() if stamp else ("--no-timestamp",)))
    assert run.code == 0, run.text
    assert run.file["format"] == "msi"
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text
    assert peer_digests(peer) == [checks(run)["digest"].upper()]
    assert unsigned_tree(path) == contained
    after = CompoundFile.open(Snapshot(path))
    assert after.header.major == before.header.major
    assert next(after.hidden(), None) is None
    assert next(after.fat.unclaimed(), None) is None
    assert_no_leftovers(tmp_path)


@pytest.mark.parametrize("make", [SHAPES["made by msitools"], SHAPES["version 4"], SHAPES["several DIFAT sectors"]])
def test_the_formats_own_reader_still_reads_it(make: Callable[[Path], object], store: Store, tmp_path: Path) -> None:
    path = tmp_path / "setup.msi"
    make(path)
    before = msitools_reads(path)
    assert sign(path, store).code == 0
    assert msitools_reads(path) == before
    assert sign(path, store, "--replace", "--no-timestamp").code == 0
    assert msitools_reads(path) == before


def test_a_signature_with_its_timestamp_is_a_stream_of_its_own_and_a_short_one_is_not(
    store: Store, package: Path
) -> None:
    sizes = []
    for options in ((), ("--replace", "--no-timestamp")):
        assert sign(package, store, *options).code == 0
        sizes += [len(content) for content in (tree_of(package).children[SIGNATURE],) if isinstance(content, bytes)]
    assert sizes[0] >= 4096 > sizes[1]


def test_signing_again_gives_the_same_file(store: Store, package: Path) -> None:
    sign(package, store, "--no-timestamp")
    first = package.read_bytes()
    sign(package, store, "--replace")
    sign(package, store, "--replace", "--no-timestamp")
    assert package.read_bytes() == first


@pytest.mark.parametrize(("new_key", "algorithm"), KEYS.values(), ids=KEYS)
def test_each_key_and_digest(
    new_key: Callable[[], Key],
    algorithm: str,
    tmp_path: Path,
    authority_root: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file, path = signing_file(tmp_path, key=new_key()), tmp_path / "setup.msi"
    path.write_bytes(msitools_package())
    stamp = ("--timestamp-url", timestamp_server.url, "--trust-root", str(authority_root))
    run = kspsign("run", path, *file.options, "--digest", algorithm, *stamp, folder=tmp_path)
    assert run.code == 0, run.text
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(file.root.read_bytes() + authority_root.read_bytes())
    peer = osslsigncode_verify(path, bundle)
    assert peer.accepted, peer.text
    assert peer_digests(peer) == [checks(run)["digest"].upper()]


@pytest.mark.parametrize("class_id", [WORD, bytes(16)], ids=["Word document", "no class"])
def test_an_office_document_is_no_package(class_id: bytes, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "letter.msi"
    write_compound(path, Folder({"WordDocument": b"x" * 5000}, class_id=class_id))
    before = path.read_bytes()
    run = sign(path, store)
    assert (run.code, run.error_code) == (6, "TRUST_E_SUBJECT_FORM_UNKNOWN")
    assert "not an MSI or MSP" in run.text
    assert path.read_bytes() == before
    judged = kspsign("verify", tmp_path, folder=tmp_path)
    assert judged.code == 2, "the judge looks at everything in a folder"
    arguments = ("--thumbprint", store.thumbprint, "--store", store.folder)
    signing = kspsign("sign", tmp_path, *arguments, folder=tmp_path)
    assert signing.code == 4, "for signing, a folder names only what can be signed"


def test_a_truncated_package_is_damaged(store: Store, package: Path) -> None:
    whole = package.read_bytes()
    for size in (20, 512, 600, len(whole) - 512):
        package.write_bytes(whole[:size])
        run = sign(package, store)
        assert (run.code, run.error_code) == (6, "ERROR_BAD_FORMAT"), size
        assert run.report["totals"]["signatures_used"] == 0
        assert package.read_bytes() == whole[:size]
