"""The embedded timestamp server as OpenSSL's own `ts` program sees it; a missing openssl is a failure."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import QUERY_TYPE, TimestampServer

CONTENT = b"what is stamped"


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


def ask(server: TimestampServer, query: bytes) -> bytes:
    request = urllib.request.Request(server.url, data=query, headers={"Content-Type": QUERY_TYPE})  # noqa: S310 - http on loopback
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http on loopback
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/timestamp-reply"
        content: bytes = response.read()
        return content


@pytest.fixture
def stamped(
    tmp_path: Path,
    authority: EmbeddedAuthority,
    timestamp_server: TimestampServer,
    request: pytest.FixtureRequest,
) -> Path:
    """A folder with the query of `openssl ts -query`, the server's reply, and the certificates."""
    (tmp_path / "data").write_bytes(CONTENT)
    made = openssl("ts", "-query", "-data", tmp_path / "data", *request.param, "-out", tmp_path / "query")
    assert made.returncode == 0, made.stderr
    (tmp_path / "reply").write_bytes(ask(timestamp_server, (tmp_path / "query").read_bytes()))
    (tmp_path / "root.pem").write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "unit.pem").write_bytes(authority.timestamp.certificate.public_bytes(Encoding.PEM))
    return tmp_path


@pytest.mark.parametrize(
    "stamped",
    [["-sha256", "-cert"], ["-sha384", "-cert"], ["-sha512", "-cert"], ["-sha256", "-cert", "-no_nonce"]],
    indirect=True,
)
def test_openssl_verifies_the_reply_against_the_query_and_the_data(stamped: Path) -> None:
    for source in (("-queryfile", stamped / "query"), ("-data", stamped / "data")):
        result = openssl("ts", "-verify", *source, "-in", stamped / "reply", "-CAfile", stamped / "root.pem")
        assert (result.returncode, result.stdout.strip()) == (0, "Verification: OK"), result.stderr


@pytest.mark.parametrize("stamped", [["-sha256"]], indirect=True)
def test_a_reply_without_certificates_verifies_with_the_unit_given_apart(stamped: Path) -> None:
    verify: list[str | Path] = ["ts", "-verify", "-queryfile", stamped / "query", "-in", stamped / "reply"]
    bare = openssl(*verify, "-CAfile", stamped / "root.pem")
    assert bare.returncode != 0
    helped = openssl(*verify, "-CAfile", stamped / "root.pem", "-untrusted", stamped / "unit.pem")
    assert helped.returncode == 0, helped.stderr


@pytest.mark.parametrize("stamped", [["-sha256", "-cert"]], indirect=True)
def test_openssl_refuses_the_reply_for_other_data(stamped: Path) -> None:
    (stamped / "other").write_bytes(CONTENT + b"!")
    result = openssl(
        "ts", "-verify", "-data", stamped / "other", "-in", stamped / "reply", "-CAfile", stamped / "root.pem"
    )
    assert result.returncode != 0
    assert "message imprint mismatch" in result.stderr


@pytest.mark.parametrize("stamped", [["-sha256", "-cert"]], indirect=True)
def test_openssl_shows_the_reply_as_text(stamped: Path) -> None:
    text = openssl("ts", "-reply", "-in", stamped / "reply", "-text").stdout
    assert "Status: Granted." in text
    assert "Policy OID: 2.999.1.3161" in text
    assert "Hash Algorithm: sha256" in text
    assert "TEST SIGNING timestamp unit - do not trust" in text


@pytest.mark.parametrize(
    ("stamped", "failure"),
    [
        (["-sha1"], "unrecognized or unsupported algorithm identifier"),
        (["-md5"], "unrecognized or unsupported algorithm identifier"),
        (["-sha256", "-tspolicy", "1.2.3.4"], "the requested TSA policy is not supported by the TSA"),
    ],
    indirect=["stamped"],
)
def test_openssl_understands_why_a_request_is_refused(stamped: Path, failure: str) -> None:
    text = openssl("ts", "-reply", "-in", stamped / "reply", "-text").stdout
    assert "Status: Rejected." in text
    assert f"Failure info: {failure}" in text


def test_openssl_accepts_each_certificate_for_its_own_purpose(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    for role in ("root", "intermediate", "leaf", "timestamp"):
        pem = getattr(authority, role).certificate.public_bytes(Encoding.PEM)
        (tmp_path / f"{role}.pem").write_bytes(pem)
    verify: list[str | Path] = [
        "verify",
        "-x509_strict",
        "-CAfile",
        tmp_path / "root.pem",
        "-untrusted",
        tmp_path / "intermediate.pem",
    ]
    leaf = openssl(*verify, tmp_path / "leaf.pem")
    assert leaf.returncode == 0, leaf.stderr
    unit = openssl(*verify, "-purpose", "timestampsign", tmp_path / "timestamp.pem")
    assert unit.returncode == 0, unit.stderr
    wrong = openssl(*verify, "-purpose", "timestampsign", tmp_path / "leaf.pem")
    assert wrong.returncode != 0
