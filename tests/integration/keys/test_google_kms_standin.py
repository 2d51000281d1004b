"""The Google stand-in as Google's own clients meet it (google-cloud-kms over REST, google-auth)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google.auth.credentials
import google.auth.identity_pool
import google.oauth2.credentials
import google.oauth2.service_account
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request as AuthRequest
from google.cloud.kms_v1 import KeyManagementServiceClient
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport

from kspsign.keys.google_cloud_kms.crc32c import crc32c
from support.certificates import rsa_key
from support.formats.peimages import build_pe
from support.google.server import Google
from support.google.world import ACCOUNT, KEY, KeyVersion
from support.pki import new_key
from support.samples import kspsign_process

DIGEST = hashlib.sha256(b"content").digest()
SCOPES = ["https://www.googleapis.com/auth/cloudkms"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
"""Of Google's clients: they are the peers here, not what is tested."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Google]:
    with Google(tmp_path) as running:
        yield running


@pytest.fixture
def version(service: Google) -> KeyVersion:
    return service.google.add(rsa_key(2048))


def client(service: Google, credentials: Any = None) -> Any:
    own = credentials or google.oauth2.credentials.Credentials(token=service.google.token("tests"))
    host = service.endpoint.removeprefix("http://")
    return KeyManagementServiceClient(
        transport=KeyManagementServiceRestTransport(host=host, url_scheme="http", credentials=own)
    )


def refused(call: Any, **request: Any) -> str:
    with pytest.raises(GoogleAPICallError) as caught:
        call(request=request, retry=None)
    return str(caught.value.code)


def test_google_s_client_gets_the_key_and_a_signature_that_holds(service: Google, version: KeyVersion) -> None:
    kms = client(service)
    listed = list(kms.list_crypto_key_versions(request={"parent": KEY, "filter": "state=ENABLED"}))
    assert [version.name for version in listed] == [version.name]
    assert (listed[0].state.name, listed[0].algorithm.name) == ("ENABLED", "RSA_SIGN_PKCS1_2048_SHA256")
    assert kms.get_crypto_key_version(request={"name": version.name}).protection_level.name == "HSM"
    shown = kms.get_public_key(request={"name": version.name})
    assert shown.pem_crc32c == crc32c(shown.pem.encode())
    public = load_pem_public_key(shown.pem.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    asked = {"name": version.name, "digest": {"sha256": DIGEST}, "digest_crc32c": crc32c(DIGEST)}
    signed = kms.asymmetric_sign(request=asked)
    assert signed.verified_digest_crc32c
    assert (signed.name, signed.signature_crc32c) == (version.name, crc32c(signed.signature))
    public.verify(signed.signature, DIGEST, PKCS1v15(), Prehashed(SHA256()))
    assert service.google.signed == [DIGEST.hex()]


def test_google_s_client_finds_the_key_from_the_location_down(service: Google, version: KeyVersion) -> None:
    kms = client(service)
    (ring,) = kms.list_key_rings(request={"parent": KEY.partition("/keyRings/")[0]})
    assert kms.get_key_ring(request={"name": ring.name}).name == ring.name
    (key,) = kms.list_crypto_keys(request={"parent": ring.name})
    assert (key.name, key.purpose.name) == (KEY, "ASYMMETRIC_SIGN")
    assert kms.get_crypto_key(request={"name": KEY}).version_template.protection_level.name == "HSM"
    assert version.name.startswith(key.name)


def test_google_s_client_gets_pages_and_curves(service: Google) -> None:
    *_others, made = [service.google.add(new_key()) for _number in range(5)]
    service.google.versions[1].state = "DISABLED"
    kms = client(service)
    listed = list(kms.list_crypto_key_versions(request={"parent": KEY, "filter": "state=ENABLED"}))
    assert [version.name[-1] for version in listed] == ["1", "3", "4", "5"]
    value = kms.asymmetric_sign(request={"name": made.name, "digest": {"sha256": DIGEST}}).signature
    public = load_pem_public_key(made.pem.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(value, DIGEST, ec.ECDSA(Prehashed(SHA256())))


def test_google_auth_signs_in_by_a_service_account_s_key(service: Google, version: KeyVersion, tmp_path: Path) -> None:
    file = service.service_account(tmp_path / "account.json")
    load: Any = google.oauth2.service_account.Credentials.from_service_account_file
    credentials = load(str(file), scopes=SCOPES, always_use_jwt_access=False)
    credentials.refresh(AuthRequest())
    assert service.google.tokens[credentials.token] == ACCOUNT
    own = google.oauth2.credentials.Credentials(token=credentials.token)
    assert client(service, own).get_public_key(request={"name": version.name}).name == version.name
    another = load(str(service.service_account(tmp_path / "another.json", rsa_key(2048))), scopes=SCOPES)
    with pytest.raises(GoogleAuthError, match="Invalid JWT Signature"):
        another.refresh(AuthRequest())


BY_MACHINE = """
import google.auth.compute_engine, google.auth.transport.requests
credentials = google.auth.compute_engine.Credentials()
credentials.refresh(google.auth.transport.requests.Request())
print(credentials.service_account_email, credentials.universe_domain, credentials.token)
"""


def test_google_auth_signs_in_by_the_machine(service: Google, version: KeyVersion) -> None:
    """In a process of its own: it reads where the metadata server is when it is loaded."""
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BY_MACHINE],
        env={**os.environ, **service.machine},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    account, domain, token = told.stdout.split()
    assert (account, domain) == (ACCOUNT, "googleapis.com")
    own = google.oauth2.credentials.Credentials(token=token)
    assert client(service, own).get_public_key(request={"name": version.name}).pem == version.pem


@pytest.mark.parametrize("impersonating", [True, False])
def test_google_auth_signs_in_by_federation(impersonating: bool, service: Google, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("own.token.1")
    service.google.oidc_tokens.add("own.token.1")
    source = {"file": str(tmp_path / "token")}
    file = service.external_account(tmp_path / "pool.json", source, impersonating=impersonating)
    content = json.loads(file.read_text())
    credentials = google.auth.identity_pool.Credentials.from_info(content, scopes=SCOPES)
    credentials.refresh(AuthRequest())
    assert service.google.tokens[credentials.token] == (ACCOUNT if impersonating else "federated")
    (tmp_path / "token").write_text("another")
    with pytest.raises(GoogleAuthError, match="invalid_grant"):
        google.auth.identity_pool.Credentials.from_info(content, scopes=SCOPES).refresh(AuthRequest())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"digest": {"sha384": bytes(48)}}, "400"),
        ({"digest": {"sha256": b"short"}}, "400"),
        ({"digest_crc32c": 1}, "400"),
        ({"name": f"{KEY}/cryptoKeyVersions/9"}, "404"),
        ({"name": f"{KEY}x/cryptoKeyVersions/1"}, "404"),
    ],
)
def test_a_wrong_request_is_refused(change: dict[str, Any], code: str, service: Google, version: KeyVersion) -> None:
    request = {"name": version.name, "digest": {"sha256": DIGEST}, **change}
    assert code in refused(client(service).asymmetric_sign, **request)
    assert service.google.signed == []


@pytest.mark.parametrize("fault", ["of nobody", "expired", "no permission", "disabled"])
def test_who_may_not_sign_is_refused(fault: str, service: Google, version: KeyVersion) -> None:
    token = service.google.token("tests")
    if fault == "of nobody":
        token += "x"
    elif fault == "expired":
        service.google.ends[token] = (datetime.now(UTC) - timedelta(minutes=1)).timestamp()
    elif fault == "no permission":
        service.google.allowed = frozenset({"get"})
    else:
        version.state = "DISABLED"
    kms = client(service, google.oauth2.credentials.Credentials(token=token))
    request = {"name": version.name, "digest": {"sha256": DIGEST}}
    if fault in {"of nobody", "expired"}:
        with pytest.raises(GoogleAuthError):  # the client would have another token after a 401
            kms.asymmetric_sign(request=request, retry=None)
    else:
        assert {"no permission": "403", "disabled": "400"}[fault] in refused(kms.asymmetric_sign, **request)
    assert service.google.signed == []


def test_our_requests_are_google_s(service: Google, tmp_path: Path) -> None:
    """Method, path and content are the same; Google's client adds the form that it wants enumerations in."""
    version, certificate, root = service.publish(tmp_path, rsa_key(2048))
    (tmp_path / "a.dll").write_bytes(build_pe())
    run = kspsign_process(
        *("run", "*.dll", "--key-store", "google-cloud-kms", "--kms-key", KEY, "--kms-endpoint", service.endpoint),
        *("--certificate", certificate, "--trust-root", root, "--no-timestamp", "--store", tmp_path / "store"),
        folder=tmp_path,
        environment=service.machine,
    )
    assert run.code == 0, run.text
    ours = service.of_kms("")
    service.record.requests.clear()
    digest = bytes.fromhex(service.google.signed[0])
    kms = client(service)
    list(kms.list_crypto_key_versions(request={"parent": KEY, "filter": "state=ENABLED", "page_size": 1000}))
    kms.get_public_key(request={"name": version.name})
    asked = {"name": version.name, "digest": {"sha256": digest}, "digest_crc32c": crc32c(digest)}
    kms.asymmetric_sign(request=asked)
    theirs = service.of_kms("")
    assert len(ours) == len(theirs) == 3
    for our, their in zip(ours, theirs, strict=True):
        assert (our.method, our.path) == (their.method, their.path)
        own = {name: value for name, value in their.query.items() if name != "$alt"}
        assert our.query == own
        assert (our.body and json.loads(our.body)) == (their.body and json.loads(their.body))
