"""The embedded key store through the front door of `kspsign.keys`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.in_memory import sign_digest
from kspsign.keys.open import open_key_store, reopen_key_store
from kspsign.keys.protocol import KeyStore
from kspsign.model.errors import ConfigurationError, PrerequisiteError, SigningError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, SyncedCertificate
from kspsign.settings.model import Settings

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(key_store="embedded", store=tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def store(settings: Settings) -> KeyStore:
    return open_key_store(settings)


def synced(store: KeyStore) -> SyncedCertificate:
    chain = store.certificate_chain()
    return SyncedCertificate(
        thumbprint=hashlib.sha1(chain[0], usedforsecurity=False).hexdigest().upper(),
        chain=chain,
        alias=None,
        key_store=store.name,
        key_reference=store.key_reference(),
        test_signing=store.test_signing,
    )


def test_it_calls_itself_test_signing(store: KeyStore, settings: Settings) -> None:
    assert (store.name, store.test_signing) == ("embedded", True)
    assert store.key_reference() == {"folder": str(settings.store_folder.absolute() / "embedded")}
    assert "BEGIN" not in str(store.key_reference())


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_signatures_fit_the_leaf(store: KeyStore, algorithm: str) -> None:
    signature = store.sign(hashlib.new(algorithm, b"data").digest(), DigestAlgorithm(algorithm))
    assert signature.algorithm == algorithm
    public = x509.load_der_x509_certificate(store.certificate_chain()[0]).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature.value, b"data", PKCS1v15(), HASHES[algorithm])
    store.close()
    store.close()


def test_an_elliptic_key_signs_too() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    signature = sign_digest(key, hashlib.sha256(b"data").digest(), DigestAlgorithm.SHA256)
    key.public_key().verify(signature.value, b"data", ec.ECDSA(hashes.SHA256()))


def test_sha1_is_never_signed(authority: EmbeddedAuthority) -> None:
    with pytest.raises(SigningError) as caught:
        sign_digest(authority.leaf.key, b"\0" * 20, DigestAlgorithm.SHA1)
    assert caught.value.hresult is Hresult.NTE_BAD_ALGID


def test_a_digest_of_the_wrong_length_is_refused(authority: EmbeddedAuthority) -> None:
    for key in (authority.leaf.key, ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(SigningError, match="sha256 digest of 20 bytes"):
            sign_digest(key, b"\0" * 20, DigestAlgorithm.SHA256)


def test_it_is_reopened_by_its_reference_alone(store: KeyStore, tmp_path: Path) -> None:
    again = reopen_key_store(Settings(store=tmp_path), synced(store))
    assert again.certificate_chain() == store.certificate_chain()
    assert list(tmp_path.iterdir()) == []


def test_reopening_never_makes_new_keys(store: KeyStore, tmp_path: Path) -> None:
    gone = synced(store)._replace(key_reference={"folder": str(tmp_path / "gone")})
    with pytest.raises(PrerequisiteError) as caught:
        reopen_key_store(Settings(), gone)
    assert caught.value.code == "EMBEDDED_DAMAGED"
    assert not (tmp_path / "gone").exists()


def test_another_certificate_in_the_place_is_told(store: KeyStore, authority: EmbeddedAuthority) -> None:
    other = synced(store)._replace(chain=authority.signing_chain)
    with pytest.raises(PrerequisiteError, match="not hold certificate") as caught:
        reopen_key_store(Settings(), other)
    assert caught.value.code == "KEY_STORE_CHANGED"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"key_store": "abacus"}, "UNKNOWN_KEY_STORE"), ({"key_reference": {}}, "KEY_REFERENCE")],
)
def test_a_stored_certificate_that_leads_nowhere_is_told(store: KeyStore, change: dict[str, object], code: str) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        reopen_key_store(Settings(), synced(store)._replace(**change))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert "certsync again" in caught.value.remedy


def test_a_key_store_is_never_guessed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_key_store(Settings())
    assert "--key-store" in caught.value.remedy
    assert "never guessed" in caught.value.remedy


def test_the_table_loads_no_store_before_it_is_used() -> None:
    program = (
        "import sys, kspsign.keys\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'cryptography', 'asn1crypto'}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
