"""Tampered twins of a signed package: whatever is changed, it is refused with the right code."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.msi import MsiFile
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest
from support.certificates import EXPIRED, PASSWORD, signing_file
from support.forging import ALGORITHM, forge
from support.formats import cms_schema
from support.formats.compound_builder import BLANK, END, FREE, MSI, Folder, Zeros, write_compound
from support.formats.msi_samples import msitools_package, patch_tree, sample_tree, tree_of
from support.formats.msi_twins import ENTRY, SECTOR, Parts, Twin
from support.samples import Store, kspsign

SIGNATURE, METADATA = "\5DigitalSignature", "\5MsiDigitalSignatureEx"


@pytest.fixture(scope="module")
def signed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A patch with MsiDigitalSignatureEx, signed and stamped."""
    path = tmp_path_factory.mktemp("msi") / "patch.msp"
    write_compound(path, patch_tree(**{METADATA: bytes(32), "odd": b"odd"}))
    options = ("--thumbprint", store.thumbprint, "--store", store.folder)
    assert kspsign("sign", path, *options, folder=path.parent).code == 0
    return path.read_bytes()


@pytest.fixture
def twin(tmp_path: Path, store: Store) -> Twin:
    return Twin(tmp_path / "twin.msp", store)


@pytest.fixture
def tree(signed: bytes, tmp_path: Path) -> Folder:
    """What the signed package contains."""
    path = tmp_path / "signed.msp"
    path.write_bytes(signed)
    return tree_of(path)


FORMAT, DIGEST, MALFORMED = "ERROR_BAD_FORMAT", "TRUST_E_BAD_DIGEST", "TRUST_E_MALFORMED_SIGNATURE"
REGIONS: dict[str, tuple[Callable[[Parts], int], set[str]]] = {
    "magic": (lambda _: 0, {"TRUST_E_SUBJECT_FORM_UNKNOWN"}),
    "header, class identifier": (lambda _: 8, {FORMAT}),
    "header, version": (lambda _: 26, {FORMAT}),
    "header, byte order": (lambda _: 28, {FORMAT}),
    "header, sector size": (lambda _: 30, {FORMAT}),
    "header, mini sector size": (lambda _: 32, {FORMAT}),
    "header, reserved": (lambda _: 37, {FORMAT}),
    "header, directory sectors": (lambda _: 40, {FORMAT}),
    "header, FAT sectors": (lambda _: 44, {FORMAT}),
    "header, directory": (lambda _: 48, {FORMAT, "TRUST_E_SUBJECT_FORM_UNKNOWN"}),
    "header, cutoff": (lambda _: 57, {FORMAT}),
    "header, mini FAT": (lambda _: 60, {FORMAT}),
    "header, mini FAT sectors": (lambda _: 64, {FORMAT}),
    "header, DIFAT": (lambda _: 68, {FORMAT}),
    "header, DIFAT sectors": (lambda _: 72, {FORMAT}),
    "header, first FAT sector": (lambda _: 76, {FORMAT}),
    "header, last of its DIFAT": (lambda _: 508, {FORMAT}),
    "FAT of a large stream": (lambda parts: parts.fat_of("PCW_CAB"), {FORMAT}),
    "FAT of the signature": (lambda parts: parts.fat_of(SIGNATURE), {FORMAT}),
    "FAT of a FAT sector": (lambda parts: parts.fat + (parts.fat // SECTOR - 1) * 4, {FORMAT}),
    "mini FAT": (lambda parts: parts.mini_fat, {FORMAT}),
    "root, name": (lambda parts: parts.directory, {FORMAT}),
    "root, kind": (lambda parts: parts.directory + 66, {FORMAT}),
    "root, class identifier": (lambda parts: parts.directory + 80, {DIGEST, "TRUST_E_SUBJECT_FORM_UNKNOWN"}),
    "root, state bits": (lambda parts: parts.directory + 96, {DIGEST}),
    "root, mini stream": (lambda parts: parts.directory + 116, {FORMAT}),
    "stream, name": (lambda parts: parts.entry("PCW_CAB") + 12, {DIGEST}),
    "stream, length of the name": (lambda parts: parts.entry("PCW_CAB") + 64, {FORMAT}),
    "stream, kind": (lambda parts: parts.entry("PCW_CAB") + 66, {FORMAT}),
    "stream, colour": (lambda parts: parts.entry("PCW_CAB") + 67, {FORMAT}),
    "stream, class identifier": (lambda parts: parts.entry("PCW_CAB") + 80, {FORMAT}),
    "stream, state bits": (lambda parts: parts.entry("PCW_CAB") + 96, {DIGEST}),
    "stream, times": (lambda parts: parts.entry("PCW_CAB") + 101, {DIGEST}),
    "stream, start": (lambda parts: parts.entry("PCW_CAB") + 116, {FORMAT}),
    "stream, size": (lambda parts: parts.entry("PCW_CAB") + 120, {DIGEST}),
    "storage, name": (lambda parts: parts.entry("aTransform"), {DIGEST}),
    "storage, child": (lambda parts: parts.entry("aTransform") + 76, {FORMAT, DIGEST}),
    "storage, class identifier": (lambda parts: parts.entry("aTransform") + 80, {DIGEST}),
    "storage, state bits": (lambda parts: parts.entry("aTransform") + 96, {DIGEST}),
    "storage, times": (lambda parts: parts.entry("aTransform") + 100, {DIGEST}),
    "storage, size": (lambda parts: parts.entry("aTransform") + 120, {FORMAT}),
    "content of a large stream": (lambda parts: parts.content("PCW_CAB") + 30000, {DIGEST}),
    "content of a small stream": (lambda parts: parts.content("\u4840\u4216"), {DIGEST}),
    "content of MsiDigitalSignatureEx": (lambda parts: parts.content(METADATA), {DIGEST}),
    "signature, its SIP": (lambda parts: parts.data.index(bytes.fromhex("f1100c0000000000c0")), {MALFORMED, DIGEST,
        "TRUST_E_SUBJECT_FORM_UNKNOWN", "TRUST_E_CERT_SIGNATURE"}),
    "signature, last byte": (lambda parts: parts.content(SIGNATURE) + parts.size(SIGNATURE) - 1,
        {MALFORMED, "TRUST_E_TIME_STAMP"}),
}  # fmt: skip


def changed(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def test_the_untouched_package_is_accepted(signed: bytes, twin: Twin, tree: Folder) -> None:
    assert twin.refusal(signed) is None
    assert twin.peer_accepts()
    assert twin.refusal_of_tree(tree) is None, "written by another writer"
    assert twin.peer_accepts()


@pytest.mark.no_cover
@pytest.mark.parametrize(("place", "codes"), REGIONS.values(), ids=REGIONS)
def test_one_byte(place: Callable[[Parts], int], codes: set[str], signed: bytes, twin: Twin) -> None:
    offset = place(Parts(signed))
    assert twin.refusal(changed(signed, offset, bytes([signed[offset] ^ 0x03]))) in codes


@pytest.mark.parametrize("count", [1, 511, 512, 5000])
def test_data_behind_the_end_which_the_peer_accepts(count: int, signed: bytes, twin: Twin) -> None:
    assert twin.refusal(signed + b" " * count) == MALFORMED
    assert "unallocated-data" in twin.text
    assert twin.peer_accepts()


def test_data_in_sectors_that_nothing_has(signed: bytes, twin: Twin) -> None:
    """Free ones, and a chain that no entry leads to: none may end the file, not even with zeros in it."""
    free = signed + bytes(SECTOR)
    lost = changed(free, Parts(signed).fat + (len(signed) // SECTOR - 1) * 4, struct.pack("<I", END))
    for data in (free, lost):
        assert twin.refusal(data) == MALFORMED
        assert "that end the file" in twin.text
        assert twin.peer_accepts()
        assert twin.refusal(data[:-6] + b"hidden") == MALFORMED
        assert twin.peer_accepts()


def test_free_sectors_between_streams(tree: Folder, twin: Twin) -> None:
    """Zeros in them hide nothing."""
    write_compound(twin.path, tree, pieces=True)
    data = twin.path.read_bytes()
    assert twin.refusal(data) is None
    parts = Parts(data)
    free = next(at for at in range(128) if parts.number(parts.fat + at * 4) == FREE)
    assert twin.refusal(changed(data, parts.sector(free) + 20, b"hidden")) == MALFORMED
    assert "unallocated sectors" in twin.text
    assert twin.refusal(changed(data, parts.fat + free * 4, b"hide")) == MALFORMED
    assert "unallocated entries of its FAT" in twin.text
    assert twin.peer_accepts()


def test_entries_of_tables_behind_the_last_sector(signed: bytes, twin: Twin) -> None:
    """Some writers mark what they don't use as END; anything else is data that nobody signs."""
    parts = Parts(signed)
    last_fat, last_mini = parts.fat_tables[-1] + SECTOR - 4, parts.mini_fat + SECTOR - 4
    for at, name in ((last_fat, "FAT"), (last_mini, "mini FAT")):
        assert parts.number(at) == FREE
        assert twin.refusal(changed(signed, at, struct.pack("<I", END))) is None
        assert twin.refusal(changed(signed, at, b"hide")) == MALFORMED
        assert f"unallocated entries of its {name}" in twin.text
        assert twin.peer_accepts()


def without_metadata(tree: Folder, twin: Twin, store: Store) -> Folder:
    """The package as osslsigncode signs it: without MsiDigitalSignatureEx."""
    write_compound(twin.path, without(without(tree, METADATA), SIGNATURE))
    forged = twin.path.with_name("forged.msp")
    opened = MsiFile.open(Snapshot(twin.path))
    assert opened.metadata is None
    plain = replace(opened, signatures=(b"\x30\x00",))

    def content(digest: Digest) -> bytes:
        return plain.content(SigningTerms(ALGORITHM, ()), digest)

    assert forge(plain, store, forged, content).code == 0
    return tree_of(forged)


def moved(tree: Folder) -> Folder:
    """The first bytes of a stream at the end of the one that is hashed before it."""
    storage = tree.children["#aTransform"]
    assert isinstance(storage, Folder)
    small, large = storage.children["\u4840\u4216"], storage.children["large"]
    assert isinstance(small, bytes)
    assert isinstance(large, bytes)
    inner = replace(storage, children={"\u4840\u4216": small + large[:64], "large": large[64:]})
    return replace(tree, children={**tree.children, "#aTransform": inner})


def renamed(tree: Folder) -> Folder:
    """A stream under a name that sorts as the old one does."""
    children = {("PCW_CAC" if name == "PCW_CAB" else name): item for name, item in tree.children.items()}
    return replace(tree, children=children)


@pytest.mark.parametrize("change", [moved, renamed])
def test_names_and_sizes_of_streams(change: Callable[[Folder], Folder], tree: Folder, twin: Twin, store: Store) -> None:
    """Only MsiDigitalSignatureEx covers them; a policy may demand it."""
    assert twin.refusal_of_tree(change(tree)) == DIGEST
    assert not twin.peer_accepts()
    plain = without_metadata(tree, twin, store)
    write_compound(twin.path, change(plain))
    options = ("--trust-root", store.root, "--no-timestamp")
    run = kspsign("verify", twin.path, *options, folder=twin.path.parent)
    assert run.code == 0, "what the plain digest covers: said by the check, and refused by a policy"
    checks = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert checks["metadata-digest"].startswith("absent")
    policy = twin.path.with_name("policy.yml")
    policy.write_text("timestamp: {required: false}\nmsi: {metadata: true}\n")
    ruled = kspsign("verify", twin.path, *options[:2], "--policy", policy, folder=twin.path.parent)
    assert (ruled.code, ruled.error_code) == (2, "CERT_E_INVALID_POLICY")
    assert "policy-metadata" in ruled.file["error"]["message"]


def test_a_policy_that_demands_the_metadata_takes_ours(signed: bytes, twin: Twin, store: Store) -> None:
    policy = twin.path.with_name("policy.yml")
    policy.write_text("msi: {metadata: true}\n")
    twin.path.write_bytes(signed)
    run = kspsign("verify", twin.path, "--trust-root", store.root, "--policy", policy, folder=twin.path.parent)
    assert run.code == 0, run.text
    assert "policy-metadata" in {check["name"] for check in run.file["verdict"]["checks"]}


def test_a_policy_admits_rests_in_a_package_that_it_names(signed: bytes, twin: Twin, store: Store) -> None:
    policy = twin.path.with_name("policy.yml")
    parts = Parts(signed)
    rests = changed(signed, signed.index(BLANK, parts.directory) + 4, b"rests")
    twin.path.write_bytes(rests)
    for pattern, code in ((twin.path.name, 0), ("other.msp", 2)):
        policy.write_text(f"msi: {{unallocated_data: ['{pattern}']}}\n")
        options = ("--trust-root", store.root, "--policy", policy, "--folder", twin.path.parent)
        run = kspsign("verify", twin.path.name, *options, folder=twin.path.parent)
        assert run.code == code, run.text
        details = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
        assert ("the policy admits it" in details["unallocated-data"]) is not bool(code)
    twin.path.write_bytes(changed(rests, parts.content("PCW_CAB"), b"x"))
    policy.write_text(f"msi: {{unallocated_data: ['{twin.path.name}']}}\n")
    refused = kspsign("verify", twin.path, "--trust-root", store.root, "--policy", policy, folder=twin.path.parent)
    assert refused.error_code == DIGEST


def test_data_in_an_unused_directory_entry(signed: bytes, twin: Twin) -> None:
    parts = Parts(signed)
    unused = signed.index(BLANK, parts.directory)
    assert twin.refusal(changed(signed, unused + 4, b"hidden")) == MALFORMED
    assert twin.peer_accepts()


def test_data_in_a_free_mini_sector(signed: bytes, twin: Twin) -> None:
    parts = Parts(signed)
    entry = parts.entry("\u4840\u4216")
    start = parts.number(entry + 116)
    emptied = changed(signed, entry + 116, struct.pack("<IQ", END, 0))
    assert twin.refusal(changed(emptied, parts.mini_fat + start * 4, struct.pack("<I", FREE))) == DIGEST
    assert "unallocated mini sectors" in twin.text


def test_a_directory_that_is_not_sorted(signed: bytes, twin: Twin) -> None:
    """A shorter name on the side of the longer ones: readers that search the tree don't find it."""
    parts = Parts(signed)
    top = parts.directory + ENTRY * parts.number(parts.directory + 76)
    left, right = parts.number(top + 68), parts.number(top + 72)
    assert FREE not in {left, right}
    assert twin.refusal(changed(signed, top + 68, struct.pack("<II", right, left))) == MALFORMED
    assert "directory-order" in twin.text


def with_signature(tree: Folder, change: Callable[[bytes], bytes]) -> Folder:
    """The package with another signature stream."""
    old = tree.children[SIGNATURE]
    assert isinstance(old, bytes)
    return replace(tree, children={**tree.children, SIGNATURE: change(old)})


def without(tree: Folder, name: str) -> Folder:
    return replace(tree, children={key: item for key, item in tree.children.items() if key != name})


@pytest.mark.parametrize("stuffing", [b"\0", b"\0" * 64, b"#!hidden" * 8])
def test_stuffing_behind_the_signature(stuffing: bytes, twin: Twin, tree: Folder) -> None:
    assert twin.refusal_of_tree(with_signature(tree, lambda old: old + stuffing)) == MALFORMED


def test_an_empty_signature(twin: Twin, tree: Folder) -> None:
    assert twin.refusal_of_tree(with_signature(tree, lambda _: b"")) == MALFORMED


def test_a_stripped_timestamp_which_the_peer_accepts(twin: Twin, tree: Folder) -> None:
    def strip(old: bytes) -> bytes:
        info = cms_schema.ContentInfo.load(old)
        signer = info["content"]["signer_infos"][0]
        present = ("version", "sid", "digest_algorithm", "signed_attrs", "signature_algorithm", "signature")
        info["content"]["signer_infos"] = [cms_schema.SignerInfo({name: signer[name] for name in present})]
        return bytes(info.dump())

    assert twin.refusal_of_tree(with_signature(tree, strip)) == "TRUST_E_TIME_STAMP"
    assert twin.peer_accepts()


def test_the_signature_of_another_package(twin: Twin, tree: Folder, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "setup.msi"
    path.write_bytes(msitools_package())
    options = ("--thumbprint", store.thumbprint, "--store", store.folder)
    assert kspsign("sign", path, *options, folder=tmp_path).code == 0
    foreign = tree_of(path).children[SIGNATURE]
    assert isinstance(foreign, bytes)
    assert twin.refusal_of_tree(with_signature(tree, lambda _: foreign)) == DIGEST
    assert not twin.peer_accepts()


@pytest.mark.parametrize(("name", "code"), [(SIGNATURE, "TRUST_E_NOSIGNATURE"), (METADATA, DIGEST)])
def test_a_stream_that_is_gone(name: str, code: str, twin: Twin, tree: Folder) -> None:
    assert twin.refusal_of_tree(without(tree, name)) == code
    assert not twin.peer_accepts()


@pytest.mark.parametrize("name", ["\5digitalSignature", "\5MSIDIGITALSIGNATUREEX"])
def test_a_name_that_differs_from_a_signatures_by_case(name: str, twin: Twin) -> None:
    assert twin.refusal_of_tree(sample_tree(**{name: b"content"})) == FORMAT


def test_what_stands_in_the_place_of_a_signature(twin: Twin) -> None:
    assert twin.refusal_of_tree(Folder({SIGNATURE: Folder({})}, class_id=MSI)) == FORMAT
    assert twin.refusal_of_tree(Folder({METADATA: bytes(65)}, class_id=MSI)) == FORMAT
    assert twin.refusal_of_tree(Folder({SIGNATURE: Zeros(33 << 20)}, class_id=MSI)) == FORMAT


@pytest.mark.parametrize(("issue", "code"), [("expired", "CERT_E_EXPIRED"), ("usage", "CERT_E_WRONG_USAGE")])
def test_a_certificate_that_may_not_sign(issue: str, code: str, tmp_path: Path) -> None:
    file = signing_file(tmp_path, end=EXPIRED) if issue == "expired" else signing_file(tmp_path, code_signing=False)
    unsigned, path = tmp_path / "unsigned.msi", tmp_path / "setup.msi"
    unsigned.write_bytes(msitools_package())
    key = ("-pkcs12", str(file.path), "-pass", PASSWORD, "-h", "sha256")
    command = ["osslsigncode", "sign", *key, "-in", str(unsigned), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    run = kspsign("verify", path, "--trust-root", file.root, "--no-timestamp", folder=tmp_path)
    assert (run.code, run.error_code) == (2, code)


def test_a_root_that_is_not_trusted(signed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "patch.msp"
    path.write_bytes(signed)
    run = kspsign("verify", path, folder=tmp_path)
    assert (run.code, run.error_code) == (2, "CERT_E_CHAINING")
