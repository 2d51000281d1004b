"""Revocation through the front door, and answered by openssl, which knows nothing of us."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import OCSPNoCheck, ReasonFlags

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.issue import KeyedCertificate
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.hresults import Hresult
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import Finding
from kspsign.verifying.revocation import Revocation
from kspsign.verifying.usage import CertificatePurpose
from support.certificates import PASSWORD, PASSWORD_VARIABLE, SigningFile, rsa_key, signing_file
from support.pki import TIMESTAMPING, Issued, ca, extended, issue, key_usage, signer
from support.revocation.answers import NOW, Crl, Ocsp, Withdrawn, asks, responder
from support.revocation.server import RevocationServer
from support.samples import copy_launcher, kspsign

OFFLINE, REVOKED = Hresult.CRYPT_E_REVOCATION_OFFLINE, Hresult.CERT_E_REVOKED
REVOCATION = ("--revocation", "online")


@pytest.fixture
def server() -> Iterator[RevocationServer]:
    with RevocationServer() as running:
        yield running


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Test root")


@pytest.fixture
def publisher(root: Issued, server: RevocationServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    """A publisher whose CRL is at /crl, and which is good to begin with."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    server.files["/crl"] = Crl(root).signed()
    return signing_file(tmp_path, root=root, more=asks(server.url, ocsp_at=""))


@pytest.fixture
def stamped_by(
    root: Issued, server: RevocationServer, authority: EmbeddedAuthority
) -> Iterator[tuple[TimestampServer, Issued]]:
    """A timestamp server whose certificate names a responder, and that certificate."""
    usages = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    unit = issue("Test unit", root, extensions=(*usages, *asks(server.url, crl_at="")), key=rsa_key(2048))
    assert isinstance(unit.key, rsa.RSAPrivateKey)
    with TimestampServer(authority._replace(timestamp=KeyedCertificate(unit.certificate, unit.key))) as running:
        server.responder = lambda request: Ocsp(root).responding(unit.certificate, request)
        yield running, unit


def leaf_serial(publisher: SigningFile) -> int:
    text = subprocess.run(
        ["openssl", "pkcs12", "-in", publisher.path, "-nokeys", "-clcerts", "-passin", f"pass:{PASSWORD}"],
        capture_output=True,
        check=True,
    ).stdout
    shown = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=text, capture_output=True, check=True).stdout
    return int(shown.decode().strip().removeprefix("serial="), 16)


def test_a_signature_and_its_timestamp_are_asked_about(
    publisher: SigningFile,
    stamped_by: tuple[TimestampServer, Issued],
    root: Issued,
    server: RevocationServer,
    tmp_path: Path,
) -> None:
    path = copy_launcher(tmp_path)
    signed = kspsign("sign", path, *publisher.options, "--timestamp-url", stamped_by[0].url, folder=tmp_path)
    assert (signed.code, server.asked) == (0, [])
    copy_launcher(tmp_path, to="copy.exe").write_bytes(path.read_bytes())
    command = ("verify", "*.exe", "--folder", tmp_path, "--trust-root", publisher.root)
    assert (kspsign(*command, folder=tmp_path).code, server.asked) == (0, [])
    good = kspsign(*command, *REVOCATION, folder=tmp_path)
    assert good.code == 0, good.text
    assert sorted(server.asked) == ["/crl", "/ocsp"]
    checks = {check["name"]: check["detail"] for check in good.files["copy.exe"]["verdict"]["checks"]}
    assert f"good by CRL {server.url}/crl until" in checks["revocation"]
    assert f"good by OCSP {server.url}/ocsp until" in checks["timestamp-revocation"]

    def failure() -> tuple[str, list[str]]:
        run = kspsign(*command, *REVOCATION, folder=tmp_path)
        assert run.code == 2
        file = run.files["copy.exe"]
        return file["error"]["code"], [check["name"] for check in file["verdict"]["checks"] if not check["ok"]]

    later = ((leaf_serial(publisher), Withdrawn(NOW.replace(year=NOW.year + 1))),)
    server.files["/crl"] = Crl(root, later).signed()
    assert kspsign(*command, *REVOCATION, folder=tmp_path).code == 0
    server.files["/crl"] = Crl(root, ((later[0][0], Withdrawn()),)).signed()
    assert failure() == ("CERT_E_REVOKED", ["revocation"])
    server.files["/crl"] = b"no CRL"
    assert failure() == ("CRYPT_E_REVOCATION_OFFLINE", ["revocation"])
    server.files["/crl"] = Crl(root, later).signed()
    compromised = Ocsp(root, revoked=Withdrawn(reason=ReasonFlags.key_compromise))
    server.responder = lambda request: compromised.responding(stamped_by[1].certificate, request)
    code, failed = failure()
    assert (code, failed) == ("CERT_E_REVOKED", ["revocation", "timestamp-revocation"])  # no timestamp: revoked counts


def test_a_revoked_certificate_spends_no_signature(
    publisher: SigningFile, root: Issued, server: RevocationServer, tmp_path: Path
) -> None:
    path = copy_launcher(tmp_path)
    before = path.read_bytes()
    sign = ("sign", path, *publisher.options, "--no-timestamp", *REVOCATION)
    server.files["/crl"] = Crl(root, ((leaf_serial(publisher), Withdrawn()),)).signed()
    refused = kspsign(*sign, folder=tmp_path)
    assert (refused.code, refused.report["error"]["code"]) == (5, "CERT_E_REVOKED")
    assert refused.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == before
    server.files["/crl"] = Crl(root).signed()
    assert kspsign(*sign, folder=tmp_path).code == 0


def test_an_untrusted_chain_sends_the_agent_nowhere(
    publisher: SigningFile, server: RevocationServer, tmp_path: Path
) -> None:
    path = copy_launcher(tmp_path)
    assert kspsign("sign", path, *publisher.options, "--no-timestamp", folder=tmp_path).code == 0
    run = kspsign("verify", path, "--no-timestamp", *REVOCATION, folder=tmp_path)
    assert (run.error_code, server.asked) == ("CERT_E_CHAINING", [])


class TestOpenssl:
    """openssl as the CA: its responder and its CRLs count, and say what it was told."""

    @pytest.mark.parametrize(
        ("by", "options", "status", "expected"),
        [
            ("ca", (), "V", None),
            ("delegate", (), "V", None),
            ("delegate", ("-resp_key_id",), "V", None),
            ("ca", (), "R", REVOKED),
            ("stranger", (), "V", OFFLINE),
            ("ca", ("-rmd", "sha1"), "V", OFFLINE),
        ],
    )
    def test_its_responder(
        self, by: str, options: tuple[str, ...], status: str, expected: Hresult | None, tmp_path: Path
    ) -> None:
        root = written(tmp_path, "ca", ca("Root"))
        written(tmp_path, "delegate", responder(root, (OCSPNoCheck(), False)))
        written(tmp_path, "stranger", ca("Root"))
        port = free_port()
        leaf = signer("Leaf", root, *asks(f"http://127.0.0.1:{port}", ocsp_at="/", crl_at=""))
        (tmp_path / "index.txt").write_text(entry(status, leaf), encoding="ascii")
        with openssl_responder(tmp_path, port, by, *options):
            finding = Revocation(NetworkOptions()).finding(
                (leaf.certificate, root.certificate), CertificatePurpose.CODE_SIGNING, None
            )
        assert finding.hresult is expected, finding.detail
        assert ("revoked since 2024-05-06T07:08:09Z (keyCompromise)" in finding.detail) is (status == "R")

    @pytest.mark.parametrize(
        ("status", "digest", "expected"), [("V", "sha256", None), ("R", "sha384", REVOKED), ("V", "sha1", OFFLINE)]
    )
    def test_its_crl(
        self, status: str, digest: str, expected: Hresult | None, server: RevocationServer, tmp_path: Path
    ) -> None:
        root = written(tmp_path, "ca", ca("Root"))
        leaf = signer("Leaf", root, *asks(server.url, ocsp_at=""))
        (tmp_path / "index.txt").write_text(entry(status, leaf), encoding="ascii")
        (tmp_path / "number").write_text("01\n", encoding="ascii")
        lines = ("[ca]", "default_ca=own", "[own]", "database=index.txt", "crlnumber=number", "default_crl_days=1")
        (tmp_path / "ca.cnf").write_text("\n".join((*lines, f"default_md={digest}", "")), encoding="ascii")
        made = ("openssl", "ca", "-config", "ca.cnf", "-gencrl", "-cert", "ca.pem", "-keyfile", "ca.key")
        server.files["/crl"] = subprocess.run(made, cwd=tmp_path, capture_output=True, check=True).stdout
        finding: Finding = Revocation(NetworkOptions()).finding(
            (leaf.certificate, root.certificate), CertificatePurpose.CODE_SIGNING, None
        )
        assert finding.hresult is expected, finding.detail


def asked(leaf: Issued, root: Issued) -> Finding:
    """The finding on a leaf whose timestamp is not trusted."""
    return Revocation(NetworkOptions()).finding(
        (leaf.certificate, root.certificate), CertificatePurpose.CODE_SIGNING, None
    )


def written(folder: Path, name: str, issued: Issued) -> Issued:
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(issued.pem)
    (folder / f"{name}.key").write_bytes(key)
    return issued


def entry(status: str, leaf: Issued) -> str:
    """A line of openssl's index of issued certificates."""
    revoked = "240506070809Z,keyCompromise" if status == "R" else ""
    return f"{status}\t300101000000Z\t{revoked}\t{leaf.certificate.serial_number:040X}\tunknown\t/CN=Leaf\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def openssl_responder(folder: Path, port: int, by: str, *options: str) -> Iterator[None]:
    """openssl as a responder over index.txt."""
    command = ["openssl", "ocsp", "-port", str(port), "-index", "index.txt", "-CA", "ca.pem"]
    command += ["-rsigner", f"{by}.pem", "-rkey", f"{by}.key", "-nmin", "60", *options]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert running.stdout is not None
        assert any("ACCEPT" in line or "waiting" in line for line in running.stdout)
        yield
    finally:
        running.terminate()
        running.communicate()
