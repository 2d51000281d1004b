"""The stand-in for Vault as its own Python client meets it: hvac signs in, reads the key, signs and verifies."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultDown

from support.vault_transit.server import TransitServer
from support.vault_transit.world import JWT, KEY, ROLE_ID, SECRET_ID, TOKEN, VaultWorld

DIGEST = hashlib.sha256(b"content").digest()
INPUT = base64.b64encode(DIGEST).decode()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[TransitServer]:
    with TransitServer(VaultWorld(), tmp_path) as running:
        yield running


def client(vault: TransitServer, token: str | None = TOKEN, namespace: str | None = None) -> Any:
    return hvac.Client(url=vault.url, token=token, namespace=namespace, verify=str(vault.ca_file))


def test_it_is_unsealed_and_the_token_is_known(vault: TransitServer) -> None:
    ours = client(vault)
    assert ours.is_authenticated()
    assert not client(vault, "stale").is_authenticated()
    assert ours.sys.read_health_status(method="GET")["sealed"] is False
    assert ours.sys.read_health_status().status_code == 200
    assert (ours.sys.is_initialized(), ours.sys.is_sealed()) == (True, False)
    vault.world.sealed = True
    with pytest.raises(VaultDown):
        ours.secrets.transit.read_key(KEY)


def test_a_signature_of_a_digest_verifies_with_the_versions_public_key(vault: TransitServer) -> None:
    transit = client(vault).secrets.transit
    read = transit.read_key(KEY)["data"]
    assert (read["type"], read["latest_version"], read["supports_signing"]) == ("rsa-2048", 1, True)
    assert read["keys"]["1"]["certificate_chain"].startswith("-----BEGIN CERTIFICATE-----")
    signed = transit.sign_data(
        KEY, INPUT, key_version=1, hash_algorithm="sha2-256", prehashed=True, signature_algorithm="pkcs1v15",
        marshaling_algorithm="asn1",
    )["data"]["signature"]  # fmt: skip
    prefix, version, value = signed.split(":")
    assert (prefix, version) == ("vault", "v1")
    public = load_pem_public_key(read["keys"]["1"]["public_key"].encode())
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(base64.b64decode(value), DIGEST, padding.PKCS1v15(), utils.Prehashed(SHA256()))
    same = {"hash_algorithm": "sha2-256", "prehashed": True, "signature_algorithm": "pkcs1v15"}
    assert transit.verify_signed_data(KEY, INPUT, signature=signed, **same)["data"]["valid"] is True
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    assert transit.verify_signed_data(KEY, other, signature=signed, **same)["data"]["valid"] is False


def test_keys_and_rights_are_listed_and_a_token_is_revoked(vault: TransitServer) -> None:
    ours = client(vault)
    assert ours.secrets.transit.list_keys()["data"]["keys"] == [KEY]
    may = ours.sys.get_capabilities([f"transit/keys/{KEY}", f"transit/sign/{KEY}", "transit/keys/other"])["data"]
    assert [may[path] for path in may if path != "capabilities"] == [["read"], ["update"], ["deny"]]
    signed = ours.secrets.transit.sign_data(KEY, base64.b64encode(b"content").decode())["data"]["signature"]
    same = {"hash_input": base64.b64encode(b"content").decode(), "signature": signed}
    assert ours.secrets.transit.verify_signed_data(KEY, **same)["data"]["valid"] is True
    ours.logout(revoke_token=True)
    with pytest.raises(Forbidden):
        client(vault).secrets.transit.list_keys()


def test_it_signs_in_by_approle_and_jwt(vault: TransitServer) -> None:
    ours = client(vault, None)
    ours.auth.approle.login(role_id=ROLE_ID, secret_id=SECRET_ID)
    assert ours.secrets.transit.read_key(KEY)["data"]["name"] == KEY
    with pytest.raises(InvalidRequest):
        ours.auth.approle.login(role_id=ROLE_ID, secret_id="stale")  # noqa: S106 - of the test
    other = client(vault, None)
    other.auth.jwt.jwt_login(role="ci", jwt=JWT)
    assert other.secrets.transit.read_key(KEY)["data"]["name"] == KEY
    with pytest.raises(InvalidRequest):
        other.auth.jwt.jwt_login(role="ci", jwt="stale")


def test_what_is_not_there_or_not_allowed_is_refused(vault: TransitServer) -> None:
    ours = client(vault)
    with pytest.raises(InvalidPath):
        ours.secrets.transit.read_key("other")
    with pytest.raises(InvalidPath):
        ours.secrets.transit.read_key(KEY, mount_point="elsewhere")
    with pytest.raises(InvalidRequest, match="signing key not found"):
        ours.secrets.transit.sign_data("other", INPUT)
    with pytest.raises(Forbidden):
        client(vault, "stale").secrets.transit.read_key(KEY)
    with pytest.raises(Forbidden):
        client(vault, namespace="elsewhere").secrets.transit.read_key(KEY)
