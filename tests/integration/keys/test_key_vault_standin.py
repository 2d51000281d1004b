"""The Azure stand-in as Microsoft's own clients meet it by themselves: azure-identity, azure-keyvault-keys and
-certificates; and as clients that write their requests by hand do."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.certificates import CertificateClient, KeyType
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm

from integration.keys.test_path_key_vault import VAULT, held
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, CLIENT_SECRET, TENANT, World

URL = f"https://{VAULT}"
DIGEST = hashlib.sha256(b"content").digest()


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    world = World({VAULT: {"rsa": [held("rsa"), held("rsa", days=3)], "p256": [held("p256")]}})
    with Azure(world, tmp_path) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def credential(secret: str = CLIENT_SECRET) -> Any:
    return ClientSecretCredential(TENANT, CLIENT, secret)


def test_certificates_are_listed_and_read_with_their_policy(azure: Azure) -> None:
    client = CertificateClient(URL, credential())
    assert [found.name for found in client.list_properties_of_certificates()] == ["rsa", "p256"]
    versions = [found.version for found in client.list_properties_of_certificate_versions("rsa")]
    assert versions == [version.version for version in azure.world.vaults[VAULT]["rsa"]]
    newest: Any = client.get_certificate("rsa")
    assert newest.properties.version == versions[-1]
    policy = newest.policy
    assert (policy.key_type, policy.key_size, policy.exportable) == (KeyType.rsa_hsm, 3072, False)
    with pytest.raises(ResourceNotFoundError):
        client.get_certificate("other")


@pytest.mark.parametrize(("name", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("p256", "ES256")])
def test_what_the_vault_signs_it_and_the_client_verify(name: str, algorithm: str, azure: Azure) -> None:
    chosen, other = SignatureAlgorithm(algorithm), hashlib.sha256(b"other").digest()
    keys = KeyClient(URL, credential())
    assert [found.name for found in keys.list_properties_of_keys()] == ["rsa", "p256"]
    assert [found.version for found in keys.list_properties_of_key_versions(name)]
    key = keys.get_key(name)
    signed = CryptographyClient(key, credential()).sign(chosen, DIGEST)
    by_client = CryptographyClient(key, credential())  # which has the public key
    assert by_client.verify(chosen, DIGEST, signed.signature).is_valid
    azure.world.permissions -= {"keys/get"}
    by_vault = CryptographyClient(str(key.id), credential())
    assert by_vault.verify(chosen, DIGEST, signed.signature).is_valid
    assert not by_vault.verify(chosen, other, signed.signature).is_valid
    assert azure.record.of(VAULT, "/verify")
    assert azure.world.signed == [DIGEST.hex()]


def test_who_may_not_is_refused(azure: Azure) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        KeyClient(URL, credential("stale")).get_key("rsa")
    azure.world.permissions -= {"keys/sign", "certificates/list"}
    with pytest.raises(HttpResponseError) as refused:
        CryptographyClient(f"{URL}/keys/rsa", credential()).sign(SignatureAlgorithm.rs256, DIGEST)
    assert refused.value.status_code == 403
    with pytest.raises(HttpResponseError):
        list(CertificateClient(URL, credential()).list_properties_of_certificates())
    assert azure.world.signed == []


def test_a_client_of_its_own_may_pad_base64_and_ask_by_resource(azure: Azure) -> None:
    """As clients do that know nothing of Microsoft's libraries: the first token endpoint, padded base64url, a slash."""
    form = f"grant_type=client_credentials&client_id={CLIENT}&client_secret={CLIENT_SECRET}"
    login = f"https://login.microsoftonline.com/{TENANT}/oauth2/token"
    token = asked(azure, login, f"{form}&resource=https://vault.azure.net".encode())["access_token"]
    shown = asked(azure, f"{URL}/certificates/rsa?api-version=7.2", token=token)
    assert shown["policy"]["key_props"]["kty"] == "RSA-HSM"
    padded = base64.urlsafe_b64encode(DIGEST).decode()
    assert padded.endswith("=")
    body = json.dumps({"alg": "RS256", "value": padded}).encode()
    assert asked(azure, f"{shown['kid']}/sign?api-version=7.2", body, token)["kid"] == shown["kid"]
    assert azure.world.signed == [DIGEST.hex()]


def asked(azure: Azure, url: str, body: bytes | None = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    with urllib3.ProxyManager(azure.url, ca_certs=azure.environment["REQUESTS_CA_BUNDLE"]) as pool:
        answer = pool.request("GET" if body is None else "POST", url, body=body, headers=headers)
    assert answer.status == 200, answer.data
    return answer.json()
