"""APPX and MSIX packages and bundles: the peer accepts what we sign, and we accept what the peer signs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.appx_samples import Package, content_types
from support.formats.zips import Part
from support.pki import Key
from support.samples import assert_no_leftovers
from support.signing import Publisher, signed_by_peer

OVERRIDE = '<Override PartName="/AppxSignature.p7x" ContentType="application/vnd.ms-appx.signature"/>'
SHAPES = {
    "as MakeAppx packs": Package(),
    "without Zip64 and descriptors": Package(zip64=False),
    "content types in front": Package(order=True),
    "content types in front, no Zip64": Package(order=True, zip64=False),
    "code integrity": Package(code_integrity=b"a catalogue"),
    "SHA-384": Package(algorithm="sha384"),
    "SHA-512": Package(algorithm="sha512", zip64=False),
    "signature's type there already": Package(types=content_types(more=OVERRIDE)),
    "prefixed content types": Package(types=content_types("ct")),
    "nothing but the manifest": Package(files={}),
}


def write(folder: Path, data: bytes, name: str = "some.msix") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("package", SHAPES.values(), ids=SHAPES)
def test_the_peer_accepts_it(package: Package, publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path, package.build())
    before = archived(path)
    run = publisher.sign(path, "--digest", package.algorithm)
    assert run.code == 0, run.text
    assert (run.file["format"], run.file["outcome"]) == ("appx", "signed")
    peer = publisher.peer(path)
    assert peer.accepted, peer.text
    after = archived(path)
    assert list(after)[-1] == "AppxSignature.p7x"
    assert after.pop("AppxSignature.p7x").startswith(b"PKCX")
    types = after.pop("[Content_Types].xml")
    assert types.count(b"AppxSignature.p7x") == 1
    assert {**after, "[Content_Types].xml": before["[Content_Types].xml"]} == before
    checks = {check["name"] for check in run.file["verdict"]["checks"]}
    assert {
        "sip",
        "package-parts",
        "hash-method",
        "publisher",
        "content-types",
        "package-content",
        "block-map",
    } <= checks


@pytest.mark.parametrize("package", list(SHAPES.values())[:6], ids=list(SHAPES)[:6])
def test_what_the_peer_signs_is_accepted(package: Package, publisher: Publisher, tmp_path: Path) -> None:
    path = signed_by_peer(publisher, write(tmp_path, package.build()), package.algorithm)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("AppxSignature.p7x").compress_type == zipfile.ZIP_DEFLATED
    assert publisher.verify(path, "--no-timestamp").code == 0
    # The peer's signature gets our timestamp, and stays as it is.
    assert publisher.verify(path).error_code == "TRUST_E_TIME_STAMP"
    run = publisher.stamp(path)
    assert run.code == 0, run.text
    assert publisher.peer(path).accepted
    assert publisher.verify(path).code == 0


def test_a_signed_package_is_skipped_replaced_and_never_signed_twice(publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path, Package().build())
    assert publisher.sign(path).code == 0
    first = path.read_bytes()
    assert publisher.sign(path).file["outcome"] == "skipped"
    run = publisher.sign(path, "--append")
    assert (run.code, run.error_code) == (6, "ERROR_NOT_SUPPORTED")
    assert "--replace" in run.text
    assert run.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == first
    run = publisher.sign(path, "--replace", "--description", "second")
    assert (run.code, len(run.file["signatures"])) == (0, 1)
    assert publisher.peer(path).accepted
    assert list(archived(path)).count("AppxSignature.p7x") == 1


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: rsa_key(3072), "sha256"),
        (lambda: rsa_key(4096), "sha512"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "sha256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "sha384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "sha512"),
    ],
    ids=["RSA-3072", "RSA-4096", "P-256", "P-384", "P-521"],
)
def test_keys(
    make: object,
    algorithm: str,
    tmp_path: Path,
    authority_root: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert callable(make)
    key: Key = make()
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path, key=key)
    file.root.write_bytes(file.root.read_bytes() + authority_root.read_bytes())
    path = write(tmp_path, Package(algorithm=algorithm).build())
    own = Publisher(file, timestamp_server.url, file.root)
    assert own.sign(path, "--digest", algorithm).code == 0
    assert own.peer(path).accepted


def test_packages_that_would_not_install_cost_no_signature(publisher: Publisher, tmp_path: Path) -> None:
    """Each is refused by name with the way out, and stays as it is."""
    manifest, block_map = "APPX_E_INVALID_MANIFEST", "APPX_E_INVALID_BLOCKMAP"
    block, types = '<Block Hash="', content_types()
    entity = types.replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>', 1)
    cases: dict[str, tuple[Package, str, str]] = {
        "another publisher": (Package(publisher="CN=Somebody"), manifest, 'Publisher="CN=Test publisher"'),
        "another name": (Package(publisher="O=a, CN=Test publisher"), manifest, '"O=a, CN=Test publisher"'),
        "no name": (Package(publisher="Test publisher"), manifest, "not a distinguished name"),
        "another digest": (Package(algorithm="sha512"), "ERROR_NOT_SUPPORTED", "--digest sha512"),
        "an extra file": (Package(extra=[Part("evil.dll", b"MZ")]), block_map, "evil.dll is in the package"),
        "a changed file": (Package(extra=[Part("empty.txt", b"x")]), block_map, "empty.txt has 1 bytes"),
        "a changed block": (Package(block_map={block: block + "AAAA"}), "APPX_E_BLOCK_HASH_INVALID", "1 of App.exe"),
        "a lost file": (Package(block_map={"empty.txt": "lost.txt"}), block_map, "empty.txt is in the package"),
        "a wrong header": (Package(block_map={'LfhSize="37"': 'LfhSize="38"'}), block_map, "LfhSize"),
        "an unknown digest": (Package(block_map={"xmlenc#sha256": "xmldsig#sha1"}), block_map, "HashMethod"),
        "no content type": (Package(types=types.replace('"bin"', '"nib"')), "APPX_E_CORRUPT_CONTENT", "exactly.bin"),
        "a document type": (Package(types=entity), "ERROR_BAD_FORMAT", "document type"),
    }
    for case, (package, code, words) in cases.items():
        path = write(tmp_path, package.build())
        before = path.read_bytes()
        run = publisher.sign(path)
        assert (run.code, run.error_code) == (6, code), (case, run.text)
        assert words in run.file["error"]["message"] + run.file["error"]["remedy"], (case, run.text)
        assert run.report["totals"]["signatures_used"] == 0, case
        assert path.read_bytes() == before
    assert_no_leftovers(tmp_path)


def test_a_bundle_of_signed_packages(publisher: Publisher, tmp_path: Path) -> None:
    first, second = (
        write(tmp_path, Package().build(), "x64.msix"),
        write(tmp_path, Package(files={}, identity=' ProcessorArchitecture="arm64"').build(), "arm.msix"),
    )
    inner = {"x64.msix": first, "arm%2064.msix": second}
    for inner_path in inner.values():
        assert publisher.sign(inner_path).code == 0
    signed = {name: inner_path.read_bytes() for name, inner_path in inner.items()}
    path = write(tmp_path, Package().bundle(signed, ("", "arm64")), "some.msixbundle")
    run = publisher.sign(path)
    assert (run.code, run.file["format"]) == (0, "appx-bundle"), run.text
    assert publisher.peer(path).accepted
    inner_checks = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert inner_checks["inner-packages"].startswith("2")
    # A package whose own signature is broken, and one that the manifest does not name.
    at = signed["x64.msix"].index(b"\x89PNG") + 50
    broken = {**signed, "x64.msix": signed["x64.msix"][:at] + b"\xff" + signed["x64.msix"][at + 1 :]}
    for data, code in (
        (Package().bundle(broken, ("", "arm64")), "TRUST_E_BAD_DIGEST"),
        (
            Package(extra=[Part("more.msix", signed["x64.msix"])]).bundle(signed, ("", "arm64")),
            "APPX_E_INVALID_BLOCKMAP",
        ),
        (Package(publisher="CN=Other").bundle(signed, ("", "arm64")), "APPX_E_INVALID_MANIFEST"),
    ):
        path.write_bytes(data)
        assert publisher.sign(path).error_code == code


def test_a_package_of_another_publisher_in_a_bundle(publisher: Publisher, tmp_path: Path) -> None:
    other = Publisher(
        signing_file(tmp_path, key=rsa_key(2048), subject="Other"), publisher.timestamp_url, publisher.roots
    )
    inner = signed_by_peer(other, write(tmp_path, Package(publisher="CN=Other").build(), "a.msix"))
    path = write(tmp_path, Package().bundle({"a.msix": inner.read_bytes()}), "some.appxbundle")
    run = publisher.sign(path)
    assert run.error_code == "APPX_E_INVALID_MANIFEST", run.text
    assert "another publisher" in run.text


@pytest.mark.parametrize("magic", [b"EXPH", b"EXBH"])
def test_encrypted_packages_are_refused_with_the_true_reason(
    magic: bytes, publisher: Publisher, tmp_path: Path
) -> None:
    run = publisher.sign(write(tmp_path, magic + bytes(200), "some.eappx"))
    assert run.error_code == "TRUST_E_SUBJECT_FORM_UNKNOWN"
    assert "encrypted" in run.text


def test_a_package_that_is_cut_off_is_a_damaged_package(publisher: Publisher, tmp_path: Path) -> None:
    for name in ("some.msix", "some.appxbundle"):
        run = publisher.sign(write(tmp_path, Package().build()[:-10], name))
        assert run.error_code == "ERROR_BAD_FORMAT", run.text
        assert "cut off" in run.text


def archived(path: Path) -> dict[str, bytes]:
    """The archive's content as zipfile reads it, in order."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
