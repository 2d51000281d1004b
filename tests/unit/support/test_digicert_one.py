"""The stand-in of DigiCert ONE itself: as strict as the service, and enough for other signing tools."""

from __future__ import annotations

import hashlib
import json
import ssl
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.keys.client_certificate import tls_context
from kspsign.keys.keylocker.credentials import read_credentials
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm
from support.digicert_one.answers import MFA
from support.digicert_one.fixture import Host, running
from support.keylocker import settings

API = "/signingmanager/api/v1/"
HASH = b64encode(b"\1" * 32).decode()
GOOD = {"sig_alg": "SHA256withECDSA", "hash": HASH}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running(tmp_path_factory.mktemp("host")) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        rsa_pair = host.world.add_keypair("prod", rsa.generate_private_key(65537, 2048))
        host.world.add_certificate(rsa_pair, "prod-code")
        yield host


def ask(
    host: Host,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str | None] = MappingProxyType({}),
    *,
    with_certificate: bool = True,
) -> tuple[int, Any]:
    """Status and JSON; the right headers unless `headers` changes or removes (None) one."""
    credentials = read_credentials(settings(host, None).credentials)
    context = tls_context(credentials.client, credentials.authorities, None, NetworkOptions())
    if not with_certificate:
        context = ssl.create_default_context(cafile=str(host.access.ca_file))
    right: dict[str, str | None] = {"x-api-key": host.world.user.api_key, "Content-Type": "application/json"}
    sent = {name: value for name, value in {**right, **headers}.items() if value is not None}
    content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    with urllib3.PoolManager(ssl_context=context) as pool:
        reply = pool.request(method, host.service.url + path, body=content, headers=sent, retries=False)
        return reply.status, json.loads(reply.data)


def test_both_factors_are_needed(host: Host) -> None:
    status, said = ask(host, "GET", f"{API}keypairs", headers={"x-api-key": None})
    assert (status, said["error"]["status"]) == (401, "invalid_api_key")
    status, said = ask(host, "GET", f"{API}keypairs", with_certificate=False)
    assert (status, said) == (403, {"error": {"status": "access_denied", "message": MFA}})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", f"{API}nothing", 404),
        ("GET", f"{API}keypairs/unknown", 404),
        ("GET", f"{API}certificates/unknown", 404),
        ("GET", f"{API}signatures/unknown", 404),
        ("GET", f"{API}keypairs?colour=blue", 400),
        ("GET", f"{API}keypairs?limit=0", 400),
        ("GET", f"{API}keypairs?offset=x", 400),
        ("PUT", f"{API}keypairs", 405),
        ("DELETE", f"{API}keypairs/1", 405),
        ("POST", f"{API}keypairs/unknown/sign", 404),
    ],
)
def test_what_it_does_not_know_it_refuses(host: Host, method: str, path: str, status: int) -> None:
    assert ask(host, method, path)[0] == status


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (GOOD, {"Content-Type": "text/plain"}, 415),
        (b"no JSON", {}, 400),
        ([], {}, 400),
        ({"hash": HASH}, {}, 400),
        ({**GOOD, "hash": "%"}, {}, 400),
        ({**GOOD, "hash": b64encode(b"a whole file").decode()}, {}, 400),
        ({**GOOD, "sig_alg": "SHA384withECDSA"}, {}, 400),
        ({**GOOD, "sig_alg": "SHA256withRSA"}, {}, 400),
        ({**GOOD, "sig_alg": "SHA1withECDSA"}, {}, 400),
        ({**GOOD, "more": 1}, {}, 400),
        ({**GOOD, "account": {"id": "another"}}, {}, 403),
    ],
)
def test_a_signature_is_asked_for_rightly_or_not_at_all(
    host: Host, body: Any, headers: dict[str, str], status: int
) -> None:
    before = host.world.spent
    assert ask(host, "POST", f"{API}keypairs/{host.world.keypairs[0].id}/sign", body, headers)[0] == status
    assert host.world.spent == before


CERTIFICATE_FIELDS = {
    *("id", "alias", "cert", "certificate_fingerprint", "certificate_status", "account", "keypair", "default_cert"),
    *("created_on", "enrollment_method", "hierarchy", "certificate_type", "certificate_profile", "organization"),
    *("ca_certificate", "chain", "valid_from", "valid_to", "auto_renewal"),
}
KEYPAIR_FIELDS = {
    *("id", "alias", "key_size", "key_alg", "key_type", "key_storage", "public_key", "certificates", "account"),
    *("key_status", "key_modal_type", "is_signable_by_me", "limit_by_users", "users", "groups"),
    *("number_of_active_certificates", "hsm_partition_details"),
}


def test_every_field_is_there_and_means_what_it_says(host: Host) -> None:
    _, page = ask(host, "GET", f"{API}certificates?alias=prod-code")
    assert set(page) == {"total", "offset", "limit", "items"}
    assert (page["total"], page["offset"], page["limit"]) == (1, 0, 20)
    (certificate,) = page["items"]
    leaf = host.world.certificates[1].leaf
    assert set(certificate) == CERTIFICATE_FIELDS
    assert b64decode(certificate["cert"]) == leaf.der
    assert b64decode(certificate["certificate_fingerprint"]) == hashlib.sha256(leaf.der).digest()
    for field, moment in (
        ("valid_from", leaf.certificate.not_valid_before_utc),
        ("valid_to", leaf.certificate.not_valid_after_utc),
    ):
        assert certificate[field].endswith("Z")
        assert datetime.fromisoformat(certificate[field]) == moment
    assert [set(part) for part in certificate["chain"]] == [{"cert_type", "blob"}] * 2
    assert b64decode(certificate["chain"][0]["blob"]) == host.world.intermediate.der
    assert set(certificate["keypair"]) == {"id", "alias", "limit_by_users"}
    assert set(certificate["certificate_profile"]) == {"id"}
    assert ask(host, "GET", f"{API}certificates/{certificate['id']}") == (200, certificate)
    _, keypair = ask(host, "GET", f"{API}keypairs/{certificate['keypair']['id']}")
    assert set(keypair) == KEYPAIR_FIELDS
    public = load_der_public_key(b64decode(keypair["public_key"]))
    assert public == host.world.keypairs[1].key.public_key()
    assert keypair["account"] == certificate["account"]
    assert (keypair["key_alg"], keypair["key_size"]) == ("RSA", 2048)
    assert {"id": certificate["id"], "alias": "prod-code"} in keypair["certificates"]


def test_old_tls_is_refused(host: Host) -> None:
    context = ssl.create_default_context(cafile=str(host.access.ca_file))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    refused = pytest.raises(urllib3.exceptions.SSLError, match="ALERT_PROTOCOL_VERSION")
    with urllib3.PoolManager(ssl_context=context) as pool, refused:
        pool.request("GET", host.service.url, retries=False)


def test_lists_have_pages_and_filters(host: Host) -> None:
    _, first = ask(host, "GET", f"{API}keypairs?limit=1&offset=1")
    assert (first["total"], first["offset"], first["limit"], first["items"][0]["alias"]) == (2, 1, 1, "prod")
    _, active = ask(host, "GET", f"{API}certificates?limit=100&certificate_status=ACTIVE")
    assert [item["alias"] for item in active["items"]] == ["code", "prod-code"]


def test_the_calls_of_another_signing_tool_work(host: Host) -> None:
    """In jsign's order and spelling: a certificate by alias, its key pair below a double slash, a signature."""
    _, found = ask(host, "GET", f"{API}certificates?alias=prod-code")
    (certificate,) = found["items"]
    assert [part["cert_type"] for part in certificate["chain"]] == ["intermediate", "root"]
    status, keypair = ask(host, "GET", f"{API}/keypairs/{certificate['keypair']['id']}")
    assert (status, keypair["key_alg"]) == (200, "RSA")
    digest = hashlib.sha512(b"content").digest()
    body = {"account": keypair["account"], "sig_alg": "SHA512withRSA", "hash": b64encode(digest).decode()}
    more = {"Content-Type": "application/json; charset=utf-8"}
    status, signed = ask(host, "POST", f"{API}keypairs/{keypair['id']}/sign", body, more)
    assert (status, set(signed)) == (200, {"id", "signature"})
    key = host.world.keypairs[1].key.public_key()
    assert signature_holds(key, b64decode(signed["signature"]), digest, DigestAlgorithm.SHA512, None)
    assert ask(host, "GET", f"{API}signatures/{signed['id']}")[1]["signature"] == signed["signature"]
