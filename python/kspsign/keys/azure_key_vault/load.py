"""Loads the store together with Microsoft's clients, which are an extra and run `uname` with the whole environment."""

from __future__ import annotations

from kspsign.keys.azure_identity.installed import azure_clients

with azure_clients("azure-key-vault"):
    from kspsign.keys.azure_key_vault.store import KeyVaultKeyStore

__all__ = ["KeyVaultKeyStore"]
