"""`kspsign catalog` and `verify --catalog`: each file is a member by its digest, for us and for osslsigncode."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kspsign.authenticode.cat.catalogue import CatFile
from kspsign.authenticode.cat.members import read_members
from kspsign.authenticode.cat.write import DriverFacts, flat_member, write_catalogue
from kspsign.authenticode.io.snapshot import Snapshot
from support.formats.cab_samples import build_cab
from support.formats.cat_samples import trust_list, unsigned
from support.formats.msi_samples import msitools_package
from support.formats.peimages import build_pe, flipped
from support.samples import Run, Store, kspsign_at, osslsigncode_verify

SIGNED_FORMATS = {"app.exe": b"payload", "setup.msi": b"MSCFMSCF", "data.cab": b"hello"}
"""Files with a digest of their format, and content of theirs that it covers."""


def catalog(store: Store, folder: Path, *options: str) -> Run:
    key = ("--thumbprint", store.thumbprint, "--store", str(store.folder))
    return kspsign_at("catalog", "out", "-o", "x.cat", *key, *options, folder=folder)


def verify(store: Store, folder: Path, *patterns: str, options: tuple[str, ...] = ()) -> Run:
    chosen = patterns or ("out",)
    return kspsign_at("verify", *chosen, "--catalog", "x.cat", "--trust-root", store.root, *options, folder=folder)


def peer_accepts(folder: Path, name: str, root: Path) -> bool:
    command = ["osslsigncode", "verify", "-catalog", "x.cat", "-CAfile", str(root), "-TSA-CAfile", str(root)]
    return subprocess.run([*command, "-in", name], cwd=folder, capture_output=True, check=False).returncode == 0


def failed_checks(run: Run, name: str) -> list[str]:
    return [check["name"] for check in run.files[name]["verdict"]["checks"] if not check["ok"]]


@pytest.fixture(scope="module")
def delivered(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of many types, and their signed catalogue next to it."""
    folder = tmp_path_factory.mktemp("delivered")
    out = folder / "out"
    (out / "data").mkdir(parents=True)
    (out / "app.exe").write_bytes(build_pe(overlay=b"payload" * 11))
    (out / "setup.msi").write_bytes(msitools_package())
    (out / "data.cab").write_bytes(build_cab())
    (out / "objects.fob").write_text("OBJECT Table 18 Customer\n")
    (out / "driver.inf").write_text("[Version]\n")
    (out / "install.cmd").write_text("@echo off\r\n")
    (out / "data" / "copy.inf").write_text("[Version]\n")
    run = catalog(store, folder)
    assert (run.code, run.file["outcome"], run.file["verdict"]["result"]) == (0, "signed", "verified"), run.text
    return folder


def test_every_file_is_proved_by_the_catalogue(store: Store, delivered: Path) -> None:
    run = verify(store, delivered)
    assert run.code == 0, run.text
    assert {name: file["verdict"]["result"] for name, file in run.files.items()} == dict.fromkeys(
        [
            "x.cat",
            *("out/app.exe", "out/data.cab", "out/data/copy.inf", "out/driver.inf", "out/install.cmd"),
            *("out/objects.fob", "out/setup.msi"),
        ],
        "verified",
    )
    subjects = {file["signatures"][0]["subject"] for file in run.files.values()}
    assert len(subjects) == 1, "the catalogue's signer is each file's"
    assert osslsigncode_verify(delivered / "x.cat", store.root).accepted


@pytest.mark.parametrize(("name", "part"), SIGNED_FORMATS.items())
def test_the_peer_agrees_and_refuses_the_twin(
    store: Store, delivered: Path, tmp_path: Path, name: str, part: bytes
) -> None:
    assert peer_accepts(delivered, f"out/{name}", store.root)
    data = (delivered / "out" / name).read_bytes()
    (tmp_path / "x.cat").write_bytes((delivered / "x.cat").read_bytes())
    (tmp_path / name).write_bytes(flipped(data, data.rindex(part)))
    run = verify(store, tmp_path, name)
    assert (run.code, run.files[name]["error"]["code"]) == (2, "SPAPI_E_FILE_HASH_NOT_IN_CATALOG"), run.text
    assert failed_checks(run, name) == ["catalog-member"]
    assert not peer_accepts(tmp_path, name, store.root)


def test_a_file_that_is_signed_afterwards_is_still_a_member(store: Store, delivered: Path, tmp_path: Path) -> None:
    """Of PE images and cabinets a catalogue lists what a signature covers too."""
    (tmp_path / "x.cat").write_bytes((delivered / "x.cat").read_bytes())
    for name in ("app.exe", "data.cab"):
        (tmp_path / name).write_bytes((delivered / "out" / name).read_bytes())
        key = ("--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
        assert kspsign_at("sign", name, *key, folder=tmp_path).code == 0
    run = verify(store, tmp_path, "app.exe", "data.cab")
    assert run.code == 0, run.text
    image = (tmp_path / "app.exe").read_bytes()
    (tmp_path / "app.exe").write_bytes(image + b"unsigned")
    assert "trailing-data" in failed_checks(verify(store, tmp_path, "app.exe"), "app.exe")


def test_members_without_a_file_are_counted_and_named(store: Store, delivered: Path) -> None:
    run = verify(store, delivered, "out/*.inf", "out/*.exe")
    assert run.code == 0, run.text
    (warning,) = run.report["warnings"]
    assert warning["code"] == "CATALOG_MEMBERS_NOT_CHECKED"
    names = {out["path"] for out in run.report["left_out"]["files"]}
    assert names == {rf"out\{name} (x.cat)" for name in ("data.cab", "install.cmd", "objects.fob", "setup.msi")}


def test_a_catalogue_that_does_not_verify_proves_nothing(store: Store, delivered: Path, tmp_path: Path) -> None:
    signed = (delivered / "x.cat").read_bytes()
    (tmp_path / "driver.inf").write_text("[Version]\n")
    other = (delivered / "out" / "driver.inf").read_bytes().hex()
    assert other == (tmp_path / "driver.inf").read_bytes().hex()
    (tmp_path / "x.cat").write_bytes(flipped(signed, signed.index("driver".encode("utf-16-le"))))
    run = verify(store, tmp_path, "driver.inf")
    assert (run.code, failed_checks(run, "driver.inf")) == (2, ["catalog-signature"]), run.text
    (tmp_path / "x.cat").write_bytes(unsigned(trust_list({"driver.inf": b"[Version]\n"})))
    run = verify(store, tmp_path, "driver.inf")
    assert run.files["driver.inf"]["error"]["code"] == "TRUST_E_NOSIGNATURE"
    (tmp_path / "x.cat").write_bytes(b"[Version]\n")
    assert verify(store, tmp_path, "driver.inf").code == 3


@pytest.mark.parametrize(
    ("content", "checks"),
    [
        (trust_list({"driver.inf": b"[Version]\n"}, version=1), ["algorithms"]),
        (trust_list({"driver.inf": b"[Version]\n"}), []),
        (
            trust_list({"driver.inf": b"[Version]\n", "b": b"b"}).replace(
                bytes.fromhex("3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"), b"\xff" * 32, 1
            ),
            ["catalog-signature"],
        ),
    ],
    ids=["SHA-1", "SHA-256", "a tag that is not the digest"],
)
def test_catalogues_of_others(store: Store, tmp_path: Path, content: bytes, checks: list[str]) -> None:
    (tmp_path / "driver.inf").write_text("[Version]\n")
    (tmp_path / "x.cat").write_bytes(unsigned(content))
    key = ("--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
    assert kspsign_at("sign", "x.cat", *key, folder=tmp_path).code == 0
    run = verify(store, tmp_path, "driver.inf", options=("--no-timestamp",))
    assert failed_checks(run, "driver.inf") == checks, run.text
    assert run.code == (2 if checks else 0)


def test_the_same_files_give_the_same_catalogue(tmp_path: Path) -> None:
    """Unsigned, which is said; drivers' catalogues name hardware and systems."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Driver.INF").write_text("[Version]\n")
    driver = ("--hardware-id", r"ROOT\Example", "--os-attribute", "2:10.0", "--os-attribute", "2:6.3")
    made = []
    for moment in ("1700000000", "1700000000", "1700000001"):
        run = kspsign_at(
            *("catalog", "out", "-o", "x.cat", *driver), folder=tmp_path, environment={"SOURCE_DATE_EPOCH": moment}
        )
        assert (run.code, run.file["outcome"], run.file["verdict"]["result"]) == (0, "created", "not-checked")
        assert "x.cat is not signed" in run.text
        assert "1 file: 1 created" in run.text
        made.append((tmp_path / "x.cat").read_bytes())
    assert made[0] == made[1] != made[2]
    for text in ("HWID1", "OSAttr"):
        assert text.encode("utf-16-be") in made[0]
    for text in ("root\\example\0", "2:10.0,2:6.3\0", "driver.inf\0"):
        assert text.encode("utf-16-le") in made[0]
    (member,) = read_members(CatFile.open(Snapshot(tmp_path / "x.cat")).trust_list)
    assert (member.name, member.tag == member.digest) == ("driver.inf", True)


def test_nothing_is_written_where_a_file_or_a_setting_is_wrong(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.inf").write_text("[Version]\n")
    for arguments, code, said in (
        (("out",), 3, "no file is named"),
        (("out", "-o", "x.bin"), 3, "end in .cat"),
        (("out", "-o", "x.cat", "--os-attribute", "Windows 10"), 3, "not an OSAttr"),
        (("out", "-o", "x.cat", "--keypair-alias", "k"), 3, "but no key store"),
        (("none", "-o", "x.cat"), 4, "no file matches"),
        (("out", "-o", "x.cat", "--thumbprint", "0" * 40, "--store", store.folder), 5, "certificate"),
    ):
        run = kspsign_at("catalog", *arguments, folder=tmp_path)
        assert run.code == code, run.text
        assert said in run.text
        assert {path.name for path in tmp_path.iterdir()} <= {"out", "report.json"}
    run = kspsign_at("catalog", "out", "-o", "x.cat", folder=tmp_path, environment={"SOURCE_DATE_EPOCH": "today"})
    assert (run.code, "SOURCE_DATE_EPOCH" in run.text) == (3, True)
    (tmp_path / "out" / "damaged.cab").write_bytes(build_cab()[:-1])
    run = kspsign_at("catalog", "out", "-o", "x.cat", folder=tmp_path)
    assert (run.code, "out/damaged.cab" in run.text) == (1, True)
    assert not (tmp_path / "x.cat").exists()


def test_members_are_dated_and_sorted(tmp_path: Path) -> None:
    members = [flat_member(bytes([number]) * 32, f"{number}") for number in (3, 1, 2, 1)]
    path = tmp_path / "x.cat"
    path.write_bytes(write_catalogue(members, datetime(2051, 1, 1, tzinfo=UTC), DriverFacts()))
    assert b"20510101000000Z" in path.read_bytes()
    names = [member.name for member in read_members(CatFile.open(Snapshot(path)).trust_list)]
    assert names == ["1", "2", "3"]
