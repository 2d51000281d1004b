"""Catalogues through the front door: signed, accepted by a peer, refused when anything changes, members shown."""

from __future__ import annotations

import contextlib
import hashlib
import io
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.authenticode.cms.read import read_signed_message
from kspsign.authenticode.cms.write import add_nested
from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.signable import Glimpse
from kspsign.certificates import der
from kspsign.cli.main import main
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.errors import ArtifactError
from kspsign.model.values import DigestAlgorithm, Format
from support.certificates import EXPIRED, PASSWORD, PASSWORD_VARIABLE, SigningFile, rsa_key, signing_file
from support.formats.cat_samples import catalogue, trust_list, unsigned
from support.formats.peimages import flipped
from support.samples import Run, Store, kspsign, osslsigncode_verify


def sign(path: Path, store: Store, *options: object) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


def verify(path: Path, *roots: Path, options: tuple[str, ...] = ()) -> Run:
    trusted = [option for root in roots for option in ("--trust-root", root)]
    return kspsign("verify", path, *trusted, *options, folder=path.parent)


@pytest.fixture(scope="module")
def signed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("catalogue") / "x.cat"
    path.write_bytes(catalogue())
    assert sign(path, store).code == 0
    return path.read_bytes()


@pytest.fixture
def publisher(tmp_path: Path, store: Store, authority_root: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path)
    file.root.write_bytes(file.root.read_bytes() + authority_root.read_bytes() + store.root.read_bytes())
    return file


@pytest.mark.parametrize("data", [catalogue(version=1), catalogue(), trust_list({"a": b"a"})], ids=["v1", "v2", "bare"])
def test_a_peer_accepts_what_we_sign_and_the_list_keeps_its_bytes(store: Store, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.cat"
    path.write_bytes(data)
    run = sign(path, store)
    assert (run.code, run.file["format"]) == (0, "cat"), run.text
    content = read_signed_message(path.read_bytes()).content_der
    assert data in {content, unsigned(content)}
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text
    again = sign(path, store, "--replace", "--digest", "sha512")
    assert (again.code, len(again.file["signatures"])) == (0, 1)
    assert read_signed_message(path.read_bytes()).content_der == content


def test_we_accept_what_a_peer_signed(
    tmp_path: Path, publisher: SigningFile, timestamp_server: TimestampServer
) -> None:
    (tmp_path / "u.cat").write_bytes(catalogue())
    command = ["osslsigncode", "sign", "-pkcs12", str(publisher.path), "-pass", PASSWORD, "-ts", timestamp_server.url]
    subprocess.run([*command, "-in", "u.cat", "-out", "x.cat"], check=True, capture_output=True, cwd=tmp_path)
    run = verify(tmp_path / "x.cat", publisher.root)
    assert run.code == 0, run.text


@pytest.mark.no_cover
def test_a_changed_byte_anywhere_is_found(store: Store, signed: bytes, tmp_path: Path) -> None:
    twin = tmp_path / "x.cat"
    start = signed.index(b"driver".decode().encode("utf-16-le"))
    for offset in (0, 1, 5, 12, start, start + 2, *range(20, len(signed), len(signed) // 40), len(signed) - 1):
        twin.write_bytes(flipped(signed, offset))
        assert verify(twin, store.root).code == 2, offset
    twin.write_bytes(flipped(signed, start))
    assert not osslsigncode_verify(twin, store.root).accepted


@pytest.mark.parametrize("data", [b"\0", b"0\0"])
def test_bytes_behind_a_catalogue_are_refused(store: Store, signed: bytes, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.cat"
    path.write_bytes(signed + data)
    assert verify(path, store.root).error_code == "ERROR_BAD_FORMAT"
    assert (sign(path, store, "--replace").error_code, path.read_bytes()) == ("ERROR_BAD_FORMAT", signed + data)


def test_the_signature_of_another_catalogue(store: Store, signed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.cat"
    content = read_signed_message(signed).content_der
    other = trust_list({"driver.sys": b"MZ!..", "driver.inf": b"[Version]"})
    path.write_bytes(signed.replace(content, other))
    assert len(other) == len(content)
    assert verify(path, store.root).error_code == "TRUST_E_CERT_SIGNATURE"


def test_certificates_that_are_not_sorted(store: Store, signed: bytes, tmp_path: Path) -> None:
    """Windows then finds no signature in a catalogue."""
    found = der.parse(signed).children()[1].children()[0].children()[3]
    first, second = (child.der for child in found.children())
    path = tmp_path / "x.cat"
    path.write_bytes(signed.replace(first + second, second + first))
    failed = [check["name"] for check in verify(path, store.root).file["verdict"]["checks"] if not check["ok"]]
    assert failed == ["certificate-order"]


def test_a_second_signature_and_one_that_was_made_for_another_catalogue(
    signed: bytes, tmp_path: Path, publisher: SigningFile, timestamp_server: TimestampServer
) -> None:
    path, other = tmp_path / "x.cat", tmp_path / "other.cat"
    path.write_bytes(signed)
    other.write_bytes(unsigned(trust_list({"driver.sys": b"MZ!..", "driver.inf": b"[Version]"})))
    options = (*publisher.options, "--timestamp-url", timestamp_server.url)
    run = kspsign("sign", path, *options, "--append", "--digest", "sha384", folder=tmp_path)
    assert run.code == 0, run.text
    assert [signature["digest"] for signature in run.file["signatures"]] == ["sha256", "sha384"]
    assert all(signature["timestamp"] for signature in run.file["signatures"])
    assert osslsigncode_verify(path, publisher.root).accepted
    assert kspsign("sign", other, *options, folder=tmp_path).code == 0
    path.write_bytes(add_nested(signed, other.read_bytes()))
    failed = [check["name"] for check in verify(path, publisher.root).file["verdict"]["checks"] if not check["ok"]]
    assert failed == ["digest#2"]


def test_a_later_timestamp_and_a_stripped_one(
    store: Store, tmp_path: Path, authority_root: Path, timestamp_server: TimestampServer
) -> None:
    path = tmp_path / "x.cat"
    path.write_bytes(catalogue())
    assert sign(path, store, "--no-timestamp").code == 0
    assert verify(path, store.root).error_code == "TRUST_E_TIME_STAMP"
    roots = ("--trust-root", store.root, "--trust-root", authority_root)
    run = kspsign("timestamp", path, *roots, "--timestamp-url", timestamp_server.url, folder=tmp_path)
    assert (run.code, run.file["outcome"]) == (0, "signed"), run.text


@pytest.mark.parametrize(
    ("key", "algorithm"), [(3072, "sha384"), (ec.SECP256R1(), "sha256"), (ec.SECP521R1(), "sha512")]
)
def test_keys_and_digests(
    tmp_path: Path,
    authority_root: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
    key: int | ec.EllipticCurve,
    algorithm: str,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    made = rsa_key(key) if isinstance(key, int) else ec.generate_private_key(key)
    publisher = signing_file(tmp_path, key=made)
    publisher.root.write_bytes(publisher.root.read_bytes() + authority_root.read_bytes())
    path = tmp_path / "x.cat"
    path.write_bytes(catalogue())
    stamp = ("--timestamp-url", timestamp_server.url)
    run = kspsign("sign", path, *publisher.options, *stamp, "--digest", algorithm, folder=tmp_path)
    assert run.code == 0, run.text
    assert osslsigncode_verify(path, publisher.root).accepted


@pytest.mark.parametrize(
    ("wrong", "code"), [({"end": EXPIRED}, "CERT_E_EXPIRED"), ({"code_signing": False}, "CERT_E_WRONG_USAGE")]
)
def test_a_certificate_that_may_not_sign(tmp_path: Path, store: Store, wrong: dict[str, object], code: str) -> None:
    publisher = signing_file(tmp_path, **wrong)  # type: ignore[arg-type]  # the case's keywords are its own
    (tmp_path / "u.cat").write_bytes(catalogue())
    command = ["osslsigncode", "sign", "-pkcs12", str(publisher.path), "-pass", PASSWORD]
    subprocess.run([*command, "-in", "u.cat", "-out", "x.cat"], check=True, capture_output=True, cwd=tmp_path)
    path = tmp_path / "x.cat"
    assert verify(path, publisher.root, options=("--no-timestamp",)).error_code == code
    assert verify(path, store.root, options=("--no-timestamp",)).error_code == "CERT_E_UNTRUSTEDROOT"


def test_what_is_told_as_a_catalogue(tmp_path: Path, signed: bytes) -> None:
    for data in (signed, catalogue(), trust_list({})):
        assert detect_format(Glimpse(Path("x"), data[:4096], len(data))) is Format.CAT
    certificates = unsigned(trust_list({}, usage="1.3.6.1.4.1.311.10.3.9"))
    path = tmp_path / "x.cat"
    for data, why in (
        (certificates, "lists certificates or the like, not files"),
        (signed[:-1], "longer than its container"),
        (b"\x30\x80" + signed[4:], "a length of 0 octets"),
        (unsigned(trust_list({}))[:-2] + b"\x05\x00" * 1000, "fields, at least|bytes after"),
    ):
        path.write_bytes(data)
        assert detect_format(Glimpse(path, data[:4096], len(data))) is Format.CAT
        with pytest.raises(ArtifactError, match=why):
            open_signable(path, Format.CAT)
    assert detect_format(Glimpse(Path("x.cat"), b"SGML catalogue", 14)) is None


def test_a_large_catalogue_is_quick_as_its_members_are_not_read(tmp_path: Path) -> None:
    """Members that are not DER at all sign just as well: nothing looks at them."""
    content = der.sequence(
        der.sequence(der.oid("1.3.6.1.4.1.311.12.1.1")), der.sequence(), der.sequence(bytes(12 << 20))
    )
    path = tmp_path / "x.cat"
    path.write_bytes(unsigned(content))
    file = open_signable(path, Format.CAT)
    digest = file.digest([DigestAlgorithm.SHA256]).values[DigestAlgorithm.SHA256]
    assert digest == hashlib.sha256(der.parse(content).content).digest()


def test_inspect_shows_the_members_on_one_screen(store: Store, signed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.cat"
    path.write_bytes(signed)
    shown = inspect(path, store)
    assert "members     2\n" in shown
    assert f"{hashlib.sha256(b'[Version]').hexdigest()}  driver.inf\n" in shown
    path.write_bytes(unsigned(trust_list({f"file {number}": b"%d" % number for number in range(1200)}, version=1)))
    shown = inspect(path, store)
    assert "members     1,200\n" in shown
    assert f"{hashlib.sha1(b'7', usedforsecurity=False).hexdigest()}  file 7\n" in shown
    assert "and 1,188 more\n" in shown
    assert len(shown.splitlines()) < 24
    path.write_bytes(unsigned(der.sequence(der.sequence(der.oid("1.3.6.1.4.1.311.12.1.1")))))
    assert "members     0\n" in inspect(path, store)


def inspect(path: Path, store: Store) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main(["inspect", str(path), "--trust-root", str(store.root)])
    return output.getvalue()
