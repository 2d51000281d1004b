"""NuGet's own rules in packages signed regardless: the verifier names NuGet's code, and the twin passes."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kspsign.authenticode.cms.file_signature import read_signature
from kspsign.authenticode.cms.write import add_token
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.nuget import NugetFile
from kspsign.authenticode.nuget.profile import NUGET
from support.certificates import rsa_key
from support.formats.appx_samples import Package, content_types
from support.formats.nuget_samples import author_signed, countersigned, package, repository_signed
from support.formats.zips import Part
from support.pki import (
    CODE_SIGNING,
    TIMESTAMPING,
    Issued,
    Key,
    ca,
    extended,
    issue,
    key_usage,
    new_key,
    signer,
    write_pem,
)
from support.signing import Publisher

LIFETIME = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")
END = datetime.now(UTC) + timedelta(days=90)


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Author root", key=rsa_key(2048), end=END)


@pytest.fixture(scope="module")
def author(root: Issued) -> Issued:
    return signer("Author", root, key=rsa_key(2048), end=END)


def refused(publisher: Publisher, path: Path, root: Issued, *options: str) -> str:
    """What the verifier says under `root`, "" when it accepts the package."""
    run = replace(publisher, roots=write_pem(path.with_suffix(".pem"), root)).verify(path, *options)
    assert run.code in {0, 2}, run.text
    return run.text if run.code else ""


def signed(path: Path, leaf: Issued) -> Path:
    path.write_bytes(package())
    path.write_bytes(author_signed(path, leaf))
    return path


def test_certificates_that_nuget_refuses(publisher: Publisher, root: Issued, author: Issued, tmp_path: Path) -> None:
    elliptic = ca("Author root", key=new_key(), end=END)
    lifetime = (extended(CODE_SIGNING, LIFETIME), key_usage("digital_signature"))
    cases = {
        "": (root, author),
        "NuGet accepts RSA only": (root, signer("Author", root, key=new_key(), end=END)),
        "NU3013": (elliptic, signer("Author", elliptic, key=rsa_key(2048), end=END)),
        "NU3015": (root, issue("Author", root, extensions=lifetime, key=rsa_key(2048), end=END)),
    }
    for words, (anchor, leaf) in cases.items():
        said = refused(publisher, signed(tmp_path / "some.nupkg", leaf), anchor, "--no-timestamp")
        assert bool(said) is bool(words), said
        assert words in said
    path = tmp_path / "some.nupkg"
    path.write_bytes(package())
    path.write_bytes(repository_signed(path, author))
    assert not refused(publisher, path, root, "--no-timestamp")
    other = issue("Repository", root, extensions=lifetime, key=rsa_key(2048), end=END)
    path.write_bytes(countersigned(signed(path, author), other))
    assert "nuget-rules#2" in refused(publisher, path, root, "--no-timestamp")


@pytest.mark.parametrize("make", [lambda: rsa_key(2048), new_key], ids=["RSA", "elliptic curve"])
def test_timestamp_authorities_that_nuget_refuses(
    make: object, publisher: Publisher, root: Issued, author: Issued, tmp_path: Path
) -> None:
    """The token is openssl's."""
    assert callable(make)
    key: Key = make()
    path = signed(tmp_path / "some.nupkg", author)
    usages = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    unit = issue("Authority", root, extensions=usages, key=key, end=END)
    file = NugetFile.open(Snapshot(path))
    value = read_signature(file.signatures[0], NUGET).message.signer.value
    stamped = add_token(file.signatures[0], token(tmp_path, unit, key, value), NUGET)
    with (tmp_path / "stamped.nupkg").open("wb") as out:
        file.embed(file.digest([]), (stamped,), out)
    said = refused(publisher, tmp_path / "stamped.nupkg", root)
    assert ("NU3023" in said) is (make is new_key), said
    assert bool(said) is (make is new_key)


def test_a_package_with_an_appx_signature_only_is_unsigned_to_nuget(publisher: Publisher, tmp_path: Path) -> None:
    nuspec = '<Default Extension="nuspec" ContentType="a/b"/>'
    both = Package(files={"Contoso.nuspec": b"<package/>"}, types=content_types(more=nuspec))
    path = tmp_path / "some.msix"
    path.write_bytes(both.build())
    assert publisher.sign(path).file["format"] == "appx"
    shutil.copy(path, tmp_path / "some.nupkg")
    run = publisher.verify(tmp_path / "some.nupkg")
    assert (run.code, run.error_code, run.file["format"]) == (2, "TRUST_E_NOSIGNATURE", "nuget"), run.text
    assert publisher.verify(path).code == 0


@pytest.mark.parametrize("name", [".SIGNATURE.P7S", ".Signature.p7s"])
def test_a_second_signature_file_in_another_case(name: str, publisher: Publisher, tmp_path: Path) -> None:
    path = tmp_path / "some.nupkg"
    path.write_bytes(package(Part(name, b"x")))
    run = publisher.sign(path)
    assert (run.error_code, "NU3009" in run.text) == ("ERROR_NOT_SUPPORTED", True)
    assert run.report["totals"]["signatures_used"] == 0


def token(folder: Path, unit: Issued, key: Key, value: bytes) -> bytes:
    """openssl's RFC 3161 token over `value`."""
    names = {name: folder / name for name in ("data", "query", "unit.pem", "unit.key", "serial", "ts.cnf", "token")}
    names["data"].write_bytes(value)
    names["unit.pem"].write_bytes(unit.pem)
    names["unit.key"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    names["serial"].write_text("01\n", encoding="ascii")
    names["ts.cnf"].write_text(
        f"[tsa]\ndefault_tsa=t\n[t]\nserial={names['serial']}\nsigner_digest=sha256\ndefault_policy=1.2.3\n"
        "digests=sha256\ness_cert_id_alg=sha256\n",
        encoding="ascii",
    )
    query = ("-query", "-data", names["data"], "-sha256", "-cert", "-out", names["query"])
    reply = (
        "-reply", "-config", names["ts.cnf"], "-queryfile", names["query"], "-signer", names["unit.pem"],
        "-inkey", names["unit.key"], "-token_out", "-out", names["token"],
    )  # fmt: skip
    for arguments in (query, reply):
        subprocess.run(["openssl", "ts", *map(str, arguments)], check=True, capture_output=True, timeout=60)
    return names["token"].read_bytes()
