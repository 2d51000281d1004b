"""The KeyLocker key store against a real host: what it finds, what it sends, what it signs."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, encodebytes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.keys.open import open_key_store
from kspsign.keys.protocol import KeyStore
from kspsign.model.errors import SigningError
from kspsign.model.values import DigestAlgorithm
from support.digicert_one.fixture import Host, running
from support.digicert_one.world import SigningKey
from support.keylocker import settings

KEYS: dict[str, Callable[[], SigningKey]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
}
WRITTEN = (DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running(tmp_path_factory.mktemp("host")) as host:
        for name, make in KEYS.items():
            host.world.add_certificate(host.world.add_keypair(name, make()), f"{name} certificate")
        yield host


def signed(store: KeyStore, algorithm: DigestAlgorithm) -> tuple[bytes, bytes]:
    digest = hashlib.new(algorithm, b"content").digest()
    return digest, store.sign(digest, algorithm).value


@pytest.mark.parametrize("name", KEYS)
def test_each_kind_of_key_signs_each_digest(host: Host, name: str) -> None:
    store = open_key_store(settings(host, name))
    key = next(keypair.key for keypair in host.world.keypairs if keypair.alias == name)
    for algorithm in WRITTEN:
        digest, value = signed(store, algorithm)
        assert signature_holds(key.public_key(), value, digest, algorithm, None)
    store.close()


def test_only_the_digest_leaves_with_the_headers_that_the_service_asks_for(host: Host) -> None:
    store = open_key_store(settings(host, "P-256"))
    host.service.record.requests.clear()
    digest, _ = signed(store, DigestAlgorithm.SHA256)
    (request,) = host.service.record.requests
    keypair = next(keypair for keypair in host.world.keypairs if keypair.alias == "P-256")
    assert (request.method, request.target) == ("POST", f"/signingmanager/api/v1/keypairs/{keypair.id}/sign")
    assert request.headers["x-api-key"] == host.world.user.api_key
    assert request.headers["content-type"] == "application/json"
    assert request.client == host.world.user.name
    body = json.loads(request.body)
    account = {"id": host.world.account.id, "name": host.world.account.name}
    assert body == {"account": account, "sig_alg": "SHA256withECDSA", "hash": body["hash"]}
    assert b64decode(body["hash"]) == digest
    store.close()


def test_looking_up_costs_no_signature(host: Host) -> None:
    before = host.world.spent
    store = open_key_store(settings(host, "P-256"))
    store.certificate_chain()
    store.key_reference()
    store.close()
    assert host.world.spent == before


def test_a_whole_session_is_one_connection(host: Host) -> None:
    before = host.service.record.connections
    store = open_key_store(settings(host, "RSA-2048"))
    for _ in range(5):
        signed(store, DigestAlgorithm.SHA256)
    store.close()
    assert host.service.record.connections == before + 1


def test_an_answer_with_only_an_id_is_followed(host: Host) -> None:
    store = open_key_store(settings(host, "P-256"))
    host.service.only_ids = True
    try:
        digest, value = signed(store, DigestAlgorithm.SHA256)
    finally:
        host.service.only_ids = False
    key = next(keypair.key for keypair in host.world.keypairs if keypair.alias == "P-256")
    assert signature_holds(key.public_key(), value, digest, DigestAlgorithm.SHA256, None)
    assert "/signatures/" in host.service.record.requests[-1].target
    store.close()


def test_what_is_no_digest_is_never_sent(host: Host) -> None:
    store = open_key_store(settings(host, "P-256"))
    with pytest.raises(SigningError, match="not a sha256 digest"):
        store.sign(b"a whole file, which stays here" * 9, DigestAlgorithm.SHA256)
    store.close()


def test_a_client_certificate_in_old_encryption_and_as_base64(host: Host, tmp_path: Path) -> None:
    path = host.access.client_p12(host.world.user.name, legacy=True)
    store = open_key_store(settings(host, "P-256"))
    store.close()
    from_text = settings(host, "P-256", SM_CLIENT_CERT_FILE=None, SM_CLIENT_CERT_FILE_B64=as_base64(path))
    store = open_key_store(from_text.model_copy(update={"temp_folder": tmp_path}))
    store.close()
    assert list(tmp_path.iterdir()) == []


def as_base64(path: Path) -> str:
    return encodebytes(path.read_bytes()).decode()
