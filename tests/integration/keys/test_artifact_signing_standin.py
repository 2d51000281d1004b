"""The stand-in as other clients of the service meet it: their calls, in their order, over plain HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, DURABLE, PROFILE, RESOURCE

OLD, NEW = "2022-06-15-preview", "2023-06-15-preview"
DIGEST = hashlib.sha256(b"content").digest()
REQUEST = {"signatureAlgorithm": "RS256", "digest": base64.b64encode(DIGEST).decode()}


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """No client of ours."""

    def __init__(self, service: ArtifactSigning) -> None:
        self.token = "token-of-another-client"  # noqa: S105 - made in the test
        service.world.tokens[self.token] = RESOURCE
        self.base = f"{service.endpoint}/codesigningaccounts/{ACCOUNT}/certificateprofiles/{PROFILE}"
        self._pool = urllib3.PoolManager()

    def ask(self, method: str, url: str, content: Any = None, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        if content is not None:
            sent["Content-Type"] = "application/json"
        body = None if content is None else json.dumps(content).encode()
        reply = self._pool.request(method, url, body=body, headers=sent, retries=False)
        return Answer(reply.status, reply.headers, reply.data)


@pytest.fixture
def service(tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[ArtifactSigning]:
    with ArtifactSigning(tmp_path, authority) as running:
        yield running


def in_pkcs7(content: bytes) -> list[x509.Certificate]:
    """By OpenSSL, as jsign's BouncyCastle reads it: in the order that was sent."""
    done = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-print_certs"], input=content, capture_output=True, check=True
    )
    return x509.load_pem_x509_certificates(done.stdout)


def verified(values: dict[str, str], *, pss: bool = False) -> list[x509.Certificate]:
    """The certificates of an answer, whose first has the key that signed."""
    content = base64.b64decode(values["signingCertificate"])
    certificates = in_pkcs7(base64.b64decode(content))
    key = certificates[0].public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    value = base64.b64decode(values["signature"])
    assert len(value) == 384
    padding = PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH) if pss else PKCS1v15()
    key.verify(value, DIGEST, padding, Prehashed(SHA256()))
    return certificates


def test_the_calls_of_jsign_and_of_small_clients(service: ArtifactSigning) -> None:
    """POST sign, then GET sign/{operationId} while it is InProgress."""
    client = Client(service)
    service.signing.seconds = 0.3
    begun = client.ask("POST", f"{client.base}/sign?api-version={OLD}", REQUEST)
    assert begun.status == 202
    assert set(begun.json) == {"operationId", "status", "signature", "signingCertificate"}
    assert (begun.json["status"], begun.json["signature"]) == ("InProgress", None)
    state = begun.json
    while state["status"] == "InProgress":
        time.sleep(0.05)
        state = client.ask("GET", f"{client.base}/sign/{begun.json['operationId']}?api-version={OLD}").json
    assert state["status"] == "Succeeded"
    assert b"\r\n" in base64.b64decode(state["signingCertificate"])
    assert len(verified(state)) == 4


def test_the_calls_of_the_published_version(service: ArtifactSigning) -> None:
    """POST :sign, then Operation-Location until the envelope has a result."""
    client = Client(service)
    content = {**REQUEST, "fileHashList": [REQUEST["digest"]], "authenticodeHashList": [REQUEST["digest"]]}
    begun = client.ask("POST", f"{client.base}:sign?api-version={NEW}", content)
    assert (begun.status, set(begun.json)) == (202, {"id", "status"})
    ended = client.ask("GET", begun.headers["Operation-Location"])
    assert ended.json["status"] == "Succeeded"
    verified(ended.json["result"])


def test_the_calls_of_a_client_that_takes_the_chain_first(service: ArtifactSigning) -> None:
    client = Client(service)
    accept = {"Accept": "application/pkcs7-mime, application/x-x509-ca-cert, application/json"}
    chain = client.ask("GET", f"{client.base}/sign/certchain?api-version={OLD}", **accept)
    assert chain.headers["Content-Type"] == "application/pkcs7-mime"
    certificates = in_pkcs7(chain.body)
    root = client.ask("GET", f"{client.base}/sign/rootcert?api-version={OLD}", **accept)
    assert x509.load_der_x509_certificate(root.body) == certificates[-1]
    assert client.ask("GET", f"{client.base}/sign/eku?api-version={OLD}").json == [DURABLE.dotted_string]
    assert client.ask("GET", f"{client.base}/sign/eku?api-version={NEW}").json == {"value": [DURABLE.dotted_string]}
    assert service.signing.spent == []


def test_pss_is_signed_too(service: ArtifactSigning) -> None:
    client = Client(service)
    begun = client.ask("POST", f"{client.base}/sign?api-version={OLD}", {**REQUEST, "signatureAlgorithm": "PS256"})
    verified(client.ask("GET", begun.headers["Operation-Location"]).json, pss=True)


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", f"/sign?api-version={OLD}", {**REQUEST, "digest": "QUJD"}, 400),
        ("POST", f"/sign?api-version={OLD}", {**REQUEST, "digest": "%"}, 400),
        ("POST", f"/sign?api-version={OLD}", {**REQUEST, "signatureAlgorithm": "RS1"}, 400),
        ("POST", f"/sign?api-version={OLD}", {**REQUEST, "fileHashList": [1]}, 400),
        ("POST", f"/sign?api-version={OLD}", [], 400),
        ("POST", "/sign?api-version=1999-01-01", REQUEST, 400),
        ("POST", "/sign", REQUEST, 400),
        ("GET", f"/sign?api-version={OLD}", None, 405),
        ("GET", f"/sign/0000-0000?api-version={OLD}", None, 404),
        ("GET", f"/signed?api-version={OLD}", None, 404),
    ],
)
def test_what_is_wrong_is_refused_and_costs_nothing(
    method: str, path: str, content: Any, status: int, service: ArtifactSigning
) -> None:
    client = Client(service)
    assert client.ask(method, client.base + path, content).status == status
    assert service.signing.spent == []


def test_other_tokens_names_and_slashes_are_refused(service: ArtifactSigning) -> None:
    client = Client(service)
    url = f"{client.base}/sign/certchain?api-version={OLD}"
    assert client.ask("GET", url.replace("/codesigning", "//codesigning")).status == 404
    assert client.ask("GET", url.replace(PROFILE, PROFILE.upper())).json["errorDetail"]["code"] == "InternalError"
    service.signing.enrolled = False
    assert client.ask("GET", url)[::2] == (403, b"")
    client.token = "of-nobody"  # noqa: S105 - made in the test
    assert "TenantId is null" in client.ask("GET", url).json["errorDetail"]["message"]
    service.world.tokens["of-nobody"] = "https://vault.azure.net"
    assert client.ask("GET", url).status == 401
