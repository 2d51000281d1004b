"""Data hidden where no signature reaches: in unsigned attributes, and among the certificates."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from asn1crypto import core
from cryptography import x509

from support.certificates import PASSWORD, PASSWORD_VARIABLE, VALID, SigningFile, signing_file
from support.formats import cms_schema
from support.formats.peimages import parts, with_checksum, with_table
from support.pki import Issued, ca, new_key, signer
from support.samples import Run, Store, copy_launcher, kspsign, osslsigncode_verify

PAYLOAD = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.9999"), b"payload" * 9), False)


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Test root", end=VALID)


@pytest.fixture
def publisher(root: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    return signing_file(tmp_path, root=root)


@pytest.fixture
def signed(publisher: SigningFile, tmp_path: Path) -> Path:
    path = copy_launcher(tmp_path)
    assert kspsign("sign", path, *publisher.options, "--no-timestamp", folder=tmp_path).code == 0
    return path


def verify(path: Path, root: Path) -> Run:
    return kspsign("verify", path, "--trust-root", root, "--no-timestamp", folder=path.parent)


def broken(run: Run) -> list[str]:
    return [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]]


def with_certificates(data: bytes, *more: Issued) -> bytes:
    """The image with `more` certificates in the set of its signature, where nothing signs them."""
    found = parts(data)
    length = struct.unpack_from(">xxH", data, found.signature)[0]
    info = cms_schema.ContentInfo.load(data[found.signature : found.signature + 4 + length])
    info["content"]["certificates"] = [
        *info["content"]["certificates"],
        *(core.Any.load(certificate.der) for certificate in more),
    ]
    blob = info.dump()
    padded = blob + bytes(-len(blob) % 8)
    return with_checksum(with_table(data, struct.pack("<IHH", 8 + len(padded), 0x0200, 0x0002) + padded))


def test_an_unsigned_attribute_that_nobody_judges_which_the_peer_accepts(
    signed: Path, publisher: SigningFile, tmp_path: Path
) -> None:
    stuffed = tmp_path / "stuffed.exe"
    command = ["osslsigncode", "add", "-addUnauthenticatedBlob", "-in", str(signed), "-out", str(stuffed)]
    subprocess.run(command, capture_output=True, check=True)
    run = verify(stuffed, publisher.root)
    assert (run.error_code, broken(run)) == ("TRUST_E_MALFORMED_SIGNATURE", ["unsigned-attributes"])
    assert "1.3.6.1.4.1.42921.1.2.1" in run.file["error"]["message"]
    assert osslsigncode_verify(stuffed, publisher.root).accepted
    assert verify(signed, publisher.root).code == 0


def test_a_certificate_of_no_chain_which_the_peer_accepts(signed: Path, publisher: SigningFile) -> None:
    signed.write_bytes(with_certificates(signed.read_bytes(), ca("Payload", None, PAYLOAD)))
    run = verify(signed, publisher.root)
    assert (run.error_code, broken(run)) == ("TRUST_E_MALFORMED_SIGNATURE", ["embedded-certificates"])
    assert '"Payload"' in run.file["error"]["message"]
    assert osslsigncode_verify(signed, publisher.root).accepted


def test_a_crowd_of_certificates(signed: Path, publisher: SigningFile) -> None:
    key = new_key()
    signed.write_bytes(with_certificates(signed.read_bytes(), *(ca(f"CA {n}", key=key) for n in range(40))))
    assert broken(verify(signed, publisher.root)) == ["embedded-certificates"]


def test_certificates_that_belong_to_the_chain_may_be_there(signed: Path, publisher: SigningFile, root: Issued) -> None:
    elsewhere = ca("Root of another program", end=VALID)
    crossed = ca("Test root", elsewhere, key=root.key, end=VALID)
    again = ca("Test root", key=root.key, end=VALID)
    signed.write_bytes(with_certificates(signed.read_bytes(), root, crossed, elsewhere, again))
    run = verify(signed, publisher.root)
    assert run.code == 0, run.text


def test_certificates_that_a_ca_of_the_chain_issued_to_others(
    signed: Path, publisher: SigningFile, root: Issued
) -> None:
    between = ca("Another CA", root, end=VALID)
    below = signer("Another publisher", between, end=VALID)
    signed.write_bytes(with_certificates(signed.read_bytes(), below, between))
    assert broken(verify(signed, publisher.root)) == ["embedded-certificates"]


def test_a_certificate_twice(signed: Path, publisher: SigningFile, root: Issued) -> None:
    signed.write_bytes(with_certificates(signed.read_bytes(), root, root))
    run = verify(signed, publisher.root)
    assert (run.error_code, broken(run)) == ("TRUST_E_MALFORMED_SIGNATURE", ["cms-structure"])
    assert "repeated" in run.file["error"]["message"]


@pytest.mark.parametrize("kind", ["self-signed", "by another CA of that name", "three", "large"])
def test_a_twin_that_only_bears_a_cas_name_and_key(
    signed: Path, publisher: SigningFile, root: Issued, kind: str
) -> None:
    forged, crossing = {"key": root.key, "signing_key": new_key(), "end": VALID}, {"key": root.key, "end": VALID}
    large = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.9999"), bytes(4096)), False
    twins = {
        "self-signed": [ca("Test root", None, PAYLOAD, **forged)],
        "by another CA of that name": [ca("Test root", ca("Test root", end=VALID), PAYLOAD, **crossing)],
        "three": [ca("Test root", ca(f"Nobody {n}", end=VALID), PAYLOAD, **crossing) for n in range(3)],
        "large": [ca("Test root", ca("Nobody", end=VALID), large, **crossing)],
    }
    signed.write_bytes(with_certificates(signed.read_bytes(), *twins[kind]))
    assert broken(verify(signed, publisher.root)) == ["embedded-certificates"]
    assert osslsigncode_verify(signed, publisher.root).accepted


def test_a_crowd_of_roots_that_all_signed_one_cross_certificate(
    signed: Path, publisher: SigningFile, root: Issued
) -> None:
    """Anybody makes a root and a cross-certificate for somebody's key, and then the same root again and again."""
    key = new_key()
    roots = [ca("Nobody", None, PAYLOAD, key=key, end=VALID) for _ in range(20)]
    crossed = ca("Test root", roots[0], key=root.key, end=VALID)
    one = with_certificates(signed.read_bytes(), crossed, roots[0])
    signed.write_bytes(with_certificates(signed.read_bytes(), crossed, *roots))
    assert broken(verify(signed, publisher.root)) == ["embedded-certificates"]
    assert osslsigncode_verify(signed, publisher.root).accepted
    signed.write_bytes(one)
    assert verify(signed, publisher.root).code == 0


def test_a_forged_link_is_none(signed: Path, publisher: SigningFile) -> None:
    forged = signer("Payload", ca("Test root", end=VALID), PAYLOAD, end=VALID)
    signed.write_bytes(with_certificates(signed.read_bytes(), forged))
    assert broken(verify(signed, publisher.root)) == ["embedded-certificates"]


def test_a_timestamps_certificates_are_judged_too(signed_launcher: bytes, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "app.exe"
    path.write_bytes(signed_launcher)
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert [check["ok"] for check in run.file["verdict"]["checks"] if check["name"] == "embedded-certificates"] == [
        True
    ]
    found = parts(signed_launcher)
    length = struct.unpack_from(">xxH", signed_launcher, found.signature)[0]
    info = cms_schema.ContentInfo.load(signed_launcher[found.signature : found.signature + 4 + length])
    (attribute,) = info["content"]["signer_infos"][0]["unsigned_attrs"]
    token = cms_schema.ContentInfo.load(attribute["values"][0].dump())
    payload = core.Any.load(ca("Payload", None, PAYLOAD).der)
    token["content"]["certificates"] = [*token["content"]["certificates"], payload]
    attribute["values"] = [core.Any.load(token.dump())]
    blob = info.dump()
    padded = blob + bytes(-len(blob) % 8)
    path.write_bytes(
        with_checksum(with_table(signed_launcher, struct.pack("<IHH", 8 + len(padded), 0x0200, 0x0002) + padded))
    )
    run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
    assert broken(run) == ["embedded-certificates"]
