"""The SignServer stand-in as the commands of SignServer's own documentation meet it: curl, and openssl for the rest."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.digicert_one.access import PASSWORD as P12_PASSWORD
from support.signserver.server import SignServer
from support.signserver.world import CLIENT, PASSWORD, TOKEN, USER, WORKER, SignServerWorld

HASH = hashlib.sha256(b"Sample Data!").digest()
METADATA = {"USING_CLIENTSUPPLIED_HASH": "true", "CLIENTSIDE_HASHDIGESTALGORITHM": "SHA-256"}
CREDENTIALS = {
    "none": (),
    "basic": ("--user", f"{USER}:{PASSWORD}"),
    "token": ("--header", f"Authorization: Bearer {TOKEN}"),
    "certificate": ("--cert-type", "P12", "--cert", "{file}:" + P12_PASSWORD),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SignServer]:
    with SignServer(SignServerWorld(), tmp_path) as running:
        yield running


def curl(server: SignServer, content: dict[str, Any], *more: str, worker: str = WORKER) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [
            *(
                "curl",
                "--silent",
                "--location",
                "--cacert",
                str(server.access.ca_file),
                "--write-out",
                "\n%{http_code}",
            ),
            *("--header", "X-Keyfactor-Requested-With: X", "--header", "Content-Type: application/json"),
            *("--request", "POST", f"{server.url}/rest/v1/workers/{worker}/process", "--data-raw", json.dumps(content)),
            *more,
        ],
        capture_output=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("auth", CREDENTIALS)
def test_a_signature_of_a_hash(auth: str, server: SignServer, tmp_path: Path) -> None:
    server.world.auth = auth
    asked = {"data": base64.b64encode(HASH).decode(), "encoding": "BASE64", "metaData": METADATA}
    given = [text.replace("{file}", str(server.access.client_p12(CLIENT))) for text in CREDENTIALS[auth]]
    status, said = curl(server, asked, *given)
    assert (status, set(said)) == (200, {"archiveId", "data", "metaData", "requestId", "signerCertificate"})
    certificate = x509.load_der_x509_certificate(base64.b64decode(said["signerCertificate"]))
    public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    (tmp_path / "value").write_bytes(base64.b64decode(said["data"]))
    for digest, accepted in ((HASH, True), (HASH[::-1], False)):
        (tmp_path / "hash").write_bytes(digest)
        command = [
            "openssl",
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "public.pem",
            "-in",
            "hash",
            "-sigfile",
            "value",
        ]
        command += ["-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pkcs1"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is accepted, done.stderr
    if auth != "none":
        assert curl(server, asked)[0] in {400, 401}


def test_what_the_server_refuses(server: SignServer) -> None:
    encoded = base64.b64encode(HASH).decode()
    asked = {"data": encoded, "encoding": "BASE64", "metaData": METADATA}
    assert curl(server, asked, worker="7")[0] == 200
    assert curl(server, asked, worker="Other") == (404, {"error": "No such worker: Other"})
    status, said = curl(server, {**asked, "encoding": "NONE"})
    assert (status, "length" in said["error"]) == (400, True)
    assert curl(server, {**asked, "data": ""})[0] == 400
    assert curl(server, {**asked, "metaData": {**METADATA, "CLIENTSIDE_HASHDIGESTALGORITHM": "MD5"}})[0] == 400
    assert len(server.world.signed) == 1
