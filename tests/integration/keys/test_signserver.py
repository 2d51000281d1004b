"""Key store signserver against a loopback server: how it authenticates, which certificate signs, and what fails."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from kspsign.certificates.parse import thumbprint_of
from kspsign.cli.main import main
from support.certificates import shared_key
from support.digicert_one.access import PASSWORD as P12_PASSWORD
from support.pki import new_key
from support.samples import Run, assert_found_in_log, kspsign, osslsigncode_verify
from support.service_faults import fill
from support.signserver.server import SignServer
from support.signserver.world import CLIENT, NOW, PASSWORD, TOKEN, SigningKey, SignServerWorld

VARIABLES = (
    *("SIGNSERVER_USERNAME", "SIGNSERVER_PASSWORD", "SIGNSERVER_TOKEN", "SIGNSERVER_CLIENT_CERT_FILE"),
    *("SIGNSERVER_CLIENT_CERT_FILE_B64", "SIGNSERVER_CLIENT_CERT_PASSWORD"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SignServer]:
    (tmp_path / "signserver").mkdir()
    with SignServer(SignServerWorld(), tmp_path / "signserver") as running:
        yield running


def run_in(
    server: SignServer, folder: Path, *more: object, command: str = "run", environment: Mapping[str, str] | None = None
) -> Run:
    given = server.environment(server.world.auth) if environment is None else environment
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in given.items():
            patch.setenv(name, value)
        return kspsign(
            *(command, "*.dll", "--folder", folder, *server.options, *server.trust, "--no-timestamp"),
            *("--store", folder / "store", "--jobs", "1", *more),
            folder=folder,
        )


@pytest.mark.parametrize("auth", ["none", "basic", "token", "certificate"])
def test_every_way_to_authenticate_signs_for_a_peer(auth: str, server: SignServer, tmp_path: Path) -> None:
    server.world.auth = auth
    fill(tmp_path, 2)
    run = run_in(server, tmp_path, "--verbose")
    assert run.code == 0, run.text
    assert len(server.world.signed) == run.report["totals"]["signatures_used"] == 2
    assert len(server.processed) == 2
    assert_found_in_log(run, server.world.logged)
    peer = osslsigncode_verify(tmp_path / "00.dll", server.folder / "root.pem")
    assert peer.accepted, peer.text
    assert not any(secret in run.text for secret in (PASSWORD, TOKEN, P12_PASSWORD))
    refused = run_in(server, tmp_path, "--replace", environment={})
    assert refused.code == (0 if auth == "none" else 6), refused.text
    if auth != "none":
        assert {file["error"]["code"] for file in refused.report["files"]} == {"SIGNSERVER_SIGN_IN"}, refused.text


def pem_of(file: Path, *, encrypted: bool) -> bytes:
    """The client certificate of a PKCS#12 file as PEM, the certificate first."""
    opened = load_pkcs12(file.read_bytes(), P12_PASSWORD.encode())
    assert opened.key is not None
    assert opened.cert is not None
    how = BestAvailableEncryption(P12_PASSWORD.encode()) if encrypted else NoEncryption()
    key = opened.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return opened.cert.certificate.public_bytes(Encoding.PEM) + key


@pytest.mark.parametrize("form", ["p12 as text", "pem", "encrypted pem", "encrypted pem as text", "plain pem as text"])
def test_a_client_certificate_in_every_form(form: str, server: SignServer, tmp_path: Path) -> None:
    server.world.auth = "certificate"
    file = server.access.client_p12(CLIENT)
    content = pem_of(file, encrypted="encrypted" in form) if "pem" in form else file.read_bytes()
    if form == "plain pem as text":
        given = {"SIGNSERVER_CLIENT_CERT_FILE_B64": content.decode()}
    elif "as text" in form:
        given = {"SIGNSERVER_CLIENT_CERT_FILE_B64": base64.b64encode(content).decode()}
    else:
        (server.folder / "client.pem").write_bytes(content)
        given = {"SIGNSERVER_CLIENT_CERT_FILE": str(server.folder / "client.pem")}
    if form not in {"pem", "plain pem as text"}:
        given["SIGNSERVER_CLIENT_CERT_PASSWORD"] = P12_PASSWORD
    fill(tmp_path, 1)
    run = run_in(server, tmp_path, environment=given)
    assert run.code == 0, run.text


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (shared_key(0), "sha384"),
        (shared_key(0), "sha512"),
        (new_key(), "sha256"),
        (ec.generate_private_key(ec.SECP384R1()), "sha384"),
    ],
    ids=["rsa sha384", "rsa sha512", "p256", "p384"],
)
def test_keys_and_digests(key: SigningKey, digest: str, server: SignServer, tmp_path: Path) -> None:
    server.world.renew(key)
    (server.folder / "code.pem").write_bytes(server.world.file)
    fill(tmp_path, 1)
    run = run_in(server, tmp_path, "--digest", digest)
    assert run.code == 0, run.text
    (asked,) = server.processed
    assert json.loads(asked.body)["metaData"] == {
        "USING_CLIENTSUPPLIED_HASH": "true",
        "CLIENTSIDE_HASHDIGESTALGORITHM": digest.upper().replace("SHA", "SHA-"),
    }


def test_the_synchronised_worker_signs_again(
    server: SignServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """certsync, then sign by its thumbprint alone; a renewed certificate of the same publisher is taken."""
    fill(tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        assert main(["certsync", *map(str, server.options), "--store", str(tmp_path / "store")]) == 0
        thumbprint = capsys.readouterr().out.splitlines()[-1]
        assert (thumbprint, server.processed) == (thumbprint_of(server.world.leaf.der), [])
        server.world.renew()
        signed = kspsign(
            *("sign", "*.dll", "--folder", tmp_path, "--thumbprint", thumbprint, *server.trust, "--no-timestamp"),
            *("--store", tmp_path / "store", "--ca-file", server.access.ca_file),
            folder=tmp_path,
        )
    assert signed.code == 0, signed.text
    assert signed.file["signatures"][0]["thumbprint"] == thumbprint_of(server.world.leaf.der) != thumbprint


def test_a_leaf_alone_gets_its_issuer_from_the_file(server: SignServer, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (server.folder / "code.pem").write_bytes(server.world.leaf.pem)
    run = run_in(server, tmp_path, "--no-aia")
    assert run.code == 5, run.text
    (server.folder / "code.pem").write_bytes(server.world.file)
    run = run_in(server, tmp_path, "--replace", "--no-aia")
    assert run.code == 0, run.text


WRONG: dict[str, tuple[tuple[object, ...], Mapping[str, str], str, str]] = {
    "no certificate": (("--certificate", "nowhere.pem"), {}, "CERTIFICATE_FILE", "can't be read"),
    "login without password": (
        (),
        {"SIGNSERVER_USERNAME": "x"},
        "SIGNSERVER_CREDENTIALS",
        "SIGNSERVER_PASSWORD is not",
    ),
    "login and token": (
        (),
        {"SIGNSERVER_USERNAME": "x", "SIGNSERVER_PASSWORD": "y", "SIGNSERVER_TOKEN": "z"},
        "SIGNSERVER_CREDENTIALS",
        "exclude each other",
    ),
    "file and text": (
        (),
        {"SIGNSERVER_CLIENT_CERT_FILE": "x", "SIGNSERVER_CLIENT_CERT_FILE_B64": "y"},
        "SIGNSERVER_CREDENTIALS",
        "exclude each other",
    ),
    "password alone": (
        (),
        {"SIGNSERVER_CLIENT_CERT_PASSWORD": "x"},
        "SIGNSERVER_CREDENTIALS",
        "client certificate is not",
    ),
    "token with a blank": ((), {"SIGNSERVER_TOKEN": "a b"}, "SIGNSERVER_CREDENTIALS", "no token has"),
    "not base64": ((), {"SIGNSERVER_CLIENT_CERT_FILE_B64": "%%%"}, "CLIENT_CERTIFICATE", "is not base64"),
    "not a certificate": (
        (),
        {"SIGNSERVER_CLIENT_CERT_FILE_B64": "QUJD"},
        "CLIENT_CERTIFICATE",
        "not a PKCS#12 or PEM",
    ),
    "no such file": ((), {"SIGNSERVER_CLIENT_CERT_FILE": "/nowhere.p12"}, "CLIENT_CERTIFICATE", "can't be read"),
    "content as the path": (
        (),
        {"SIGNSERVER_CLIENT_CERT_FILE": "planted\n" * 4},
        "CLIENT_CERTIFICATE",
        "a value of 31 characters",
    ),
    "plain http elsewhere": (
        ("--signserver-url", "http://signserver.example/x"),
        {},
        "CONFIGURATION",
        "is not an endpoint",
    ),
    "login in the URL": (("--signserver-url", "https://u:planted@host/x"), {}, "CONFIGURATION", "is not an endpoint"),
    "query in the URL": (("--signserver-url", "https://host/x?y"), {}, "CONFIGURATION", "is not an endpoint"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_given_wrong_is_said_before_anything_is_sent(name: str, server: SignServer, tmp_path: Path) -> None:
    more, environment, code, words = WRONG[name]
    fill(tmp_path, 1)
    run = run_in(server, tmp_path, *more, environment=environment)
    assert run.code in {3, 5}, run.text
    assert (run.report["error"]["code"], words in run.text, "planted" in run.text) == (code, True, False), run.text
    assert server.requests == []


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ("--certificate", "the worker's certificate"),
        ("--signserver-url", "the server's URL"),
        ("--keypair-alias", "needs the worker"),
    ],
)
def test_what_is_missing_is_named(left_out: str, words: str, server: SignServer, tmp_path: Path) -> None:
    given = list(server.options)
    at = given.index(left_out)
    fill(tmp_path, 1)
    run = kspsign("run", "*.dll", *given[:at], *given[at + 2 :], "--folder", tmp_path, folder=tmp_path)
    assert (run.code, words in run.text) == (3, True), run.text


def test_a_certificate_that_has_ended_signs_nothing(server: SignServer, tmp_path: Path) -> None:
    (server.folder / "code.pem").write_bytes(server.world.issue(end=NOW).pem)
    fill(tmp_path, 1)
    run = run_in(server, tmp_path)
    assert (run.code, run.report["error"]["code"], server.requests) == (5, "CERTIFICATE_NOT_VALID", []), run.text
