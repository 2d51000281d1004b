"""The store signs with the key of an encrypted file, and says what is wrong with a passphrase."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from kspsign.embedded.authority import EmbeddedAuthority
from support.samples import copy_launcher, kspsign

VARIABLE = "EXAMPLE_PASSPHRASE"


def test_it_signs(
    authority: EmbeddedAuthority, authority_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, chain, path = tmp_path / "key.pem", tmp_path / "chain.pem", copy_launcher(tmp_path)
    encryption = BestAvailableEncryption(b"secret")
    key.write_bytes(authority.leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    certificates = (authority.leaf, authority.intermediate, authority.root)
    chain.write_bytes(b"".join(certificate.certificate.public_bytes(Encoding.PEM) for certificate in certificates))
    store = ("--key-store", "example", "--example-key", key, "--certificate", chain, "--store", tmp_path / "store")
    trust = ("--trust-root", authority_root, "--no-timestamp", "--example-passphrase-env", VARIABLE)
    monkeypatch.setenv(VARIABLE, "wrong")
    refused = kspsign("sign", path, *store, *trust, folder=tmp_path)
    assert (refused.code, refused.report["error"]["code"]) == (5, "EXAMPLE_STORE"), refused.text
    monkeypatch.setenv(VARIABLE, "secret")
    signed = kspsign("sign", path, *store, *trust, folder=tmp_path)
    assert (signed.code, signed.report["key_store"]) == (0, "example"), signed.text
