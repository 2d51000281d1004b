"""Tampered twins of a signed package: one thing changed anywhere is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.zip import Archive, Plan, ZipEntry, ZipMember, archive_of, unpack
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.values import Format
from kspsign.settings.model import Settings
from kspsign.verifying import open_verifier
from support.certificates import EXPIRED, PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats import cms_schema
from support.formats.appx_samples import Package
from support.formats.zips import Part, build_zip
from support.samples import kspsign
from support.signing import Publisher

SMALL = Package(files={"App.exe": b"MZ" + bytes(range(256)) * 3, "a b.png": b"\x89PNG" * 9})
SIGNATURE = "AppxSignature.p7x"


@pytest.fixture(scope="module")
def signed(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small package, signed and stamped."""
    path = tmp_path_factory.mktemp("appx") / "signed.msix"
    path.write_bytes(SMALL.build())
    assert publisher.sign(path).code == 0
    return path


def parts(path: Path) -> dict[str, bytes]:
    """What the package's entries unpack to."""
    archive = archive_of(Snapshot(path))
    with path.open("rb") as file:
        return {entry.name: unpack(file, archive, entry, 1 << 20) for entry in archive.entries}


def with_signature(path: Path, content: bytes) -> bytes:
    """The package with another content of its signature's entry."""
    return rewritten(path, ZipMember(SIGNATURE, content))


def rewritten(path: Path, *members: ZipMember) -> bytes:
    """The package without its signature, with `members` at its end."""
    archive = archive_of(Snapshot(path))
    kept = tuple(entry for entry in archive.entries if entry.name != SIGNATURE)
    target = path.with_suffix(".rewritten")
    with target.open("wb") as file:
        Plan(archive, kept, members, sort=True).write(file)
    return target.read_bytes()


@pytest.mark.no_cover
def test_any_byte(signed: Path, publisher: Publisher, tmp_path: Path) -> None:
    """Every third byte. Only versions, times and attributes of the signature's own entry say nothing."""
    verifier = open_verifier(Settings(command="verify", trust_root=(publisher.roots,)), None)
    path, data = tmp_path / "twin.msix", signed.read_bytes()
    archive = archive_of(Snapshot(signed))
    free = silent(archive, data)
    accepted = []
    for at in range(0, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        if verifier.verify(path, Format.APPX).verdict.ok:
            accepted.append(at)
    assert set(accepted) <= free
    assert len(free) < 30


def silent(archive: Archive, data: bytes) -> set[int]:
    """Offsets of bytes outside every signature that say nothing of content or place."""
    entry: ZipEntry = archive.entries[-1]
    assert entry.name == SIGNATURE
    record = data.rindex(b"PK\1\2")
    end64 = data.rindex(b"PK\6\6")
    local = {entry.offset + at for at in (4, 5, 10, 11, 12, 13)}
    central = {record + at for at in (4, 5, 6, 7, 12, 13, 14, 15, *range(36, 42))}
    return local | central | {end64 + at for at in range(12, 16)}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data, _: data + b"behind", "ERROR_BAD_FORMAT"),
        (lambda data, _: b"in front" + data, "TRUST_E_SUBJECT_FORM_UNKNOWN"),
        (lambda _, path: rewritten(path), "TRUST_E_NOSIGNATURE"),
        (lambda _, path: with_signature(path, b"PKCX"), "TRUST_E_MALFORMED_SIGNATURE"),
        (lambda _, path: with_signature(path, parts(path)[SIGNATURE] + b"\0"), "TRUST_E_MALFORMED_SIGNATURE"),
        (lambda _, path: with_signature(path, b"PKCS" + parts(path)[SIGNATURE][4:]), "TRUST_E_MALFORMED_SIGNATURE"),
        (
            lambda _, path: rewritten(path, ZipMember(SIGNATURE, parts(path)[SIGNATURE]), ZipMember("evil.exe", b"MZ")),
            "TRUST_E_MALFORMED_SIGNATURE",
        ),
        (
            lambda _, path: rewritten(path, ZipMember("evil.exe", b"MZ"), ZipMember(SIGNATURE, parts(path)[SIGNATURE])),
            "TRUST_E_BAD_DIGEST",
        ),
        (
            lambda _, path: rewritten(path, ZipMember("APP.EXE", b"MZ"), ZipMember(SIGNATURE, parts(path)[SIGNATURE])),
            "ERROR_BAD_FORMAT",
        ),
    ],
    ids=["behind", "front", "stripped", "empty", "padded", "magic", "after", "before", "case"],
)  # fmt: skip
def test_smuggling(signed: Path, publisher: Publisher, tmp_path: Path, change: object, code: str) -> None:
    assert callable(change)
    assert publisher.refusal(tmp_path / "twin.msix", change(signed.read_bytes(), signed)) == code


def test_data_in_the_headers_of_the_signature(signed: Path, publisher: Publisher, tmp_path: Path) -> None:
    """The peer does not look there."""
    content = [Part(name, data) for name, data in parts(signed).items()]
    plain = build_zip(content)
    stuffed = build_zip([*content[:-1], Part(SIGNATURE, content[-1].data, extra=b"\x99\x99\x40\0" + b"x" * 64)])
    assert publisher.refusal(tmp_path / "a.msix", plain) == "TRUST_E_BAD_DIGEST"
    assert publisher.refusal(tmp_path / "b.msix", stuffed) == "TRUST_E_MALFORMED_SIGNATURE"


def test_the_signature_of_another_package(signed: Path, publisher: Publisher, tmp_path: Path) -> None:
    other = tmp_path / "other.msix"
    other.write_bytes(Package(files={"App.exe": b"MZ other"}).build())
    assert publisher.sign(other).code == 0
    twin = with_signature(signed, parts(other)[SIGNATURE])
    assert {"digest", "package-parts"} <= publisher.failed_checks(tmp_path / "twin.msix", twin)
    assert not publisher.peer(tmp_path / "twin.msix").accepted


def test_timestamp_and_sip(signed: Path, publisher: Publisher, tmp_path: Path) -> None:
    """A stripped timestamp, which the peer accepts, and the signature of a package in the place of a bundle's."""
    info = cms_schema.ContentInfo.load(parts(signed)[SIGNATURE][4:])
    signer = info["content"]["signer_infos"][0]
    present = ("version", "sid", "digest_algorithm", "signed_attrs", "signature_algorithm", "signature")
    info["content"]["signer_infos"] = [cms_schema.SignerInfo({name: signer[name] for name in present})]
    twin = tmp_path / "twin.msix"
    assert publisher.refusal(twin, with_signature(signed, b"PKCX" + info.dump())) == "TRUST_E_TIME_STAMP"
    assert publisher.peer(twin).accepted
    bundle = tmp_path / "bundle.msixbundle"
    bundle.write_bytes(Package().bundle({"a.msix": signed.read_bytes()}))
    assert publisher.sign(bundle).code == 0
    assert "sip" in publisher.failed_checks(bundle, with_signature(bundle, parts(signed)[SIGNATURE]))


@pytest.mark.parametrize(
    ("sides", "code"),
    [({"end": EXPIRED}, "CERT_E_EXPIRED"), ({"code_signing": False}, "CERT_E_WRONG_USAGE")],
    ids=["expired", "wrong usage"],
)
def test_certificates_that_may_not_sign(
    sides: dict[str, object],
    code: str,
    tmp_path: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path, key=rsa_key(2048), **sides)  # type: ignore[arg-type]
    path = tmp_path / "some.msix"
    path.write_bytes(SMALL.build())
    run = Publisher(file, timestamp_server.url, file.root).sign(path)
    assert code in run.text
    assert path.read_bytes() == SMALL.build()


def test_a_root_that_is_not_trusted(signed: Path, tmp_path: Path) -> None:
    run = kspsign("verify", signed, folder=tmp_path)
    assert (run.code, run.error_code) == (2, "CERT_E_CHAINING")
