"""Which key store a name after /csp means, and which of its options the name after /kc is.

Names are those that vendors register their key storage providers by, capitals included. A configuration file that is
named (KSPSIGN_CONFIG) adds one: `csp: NAME` with `key_store: STORE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kspsign.model.suggest import did_you_mean

PROVIDERS: Final[Mapping[str, str]] = {
    "DigiCert Signing Manager KSP": "keylocker",
    "DigiCert Software Trust Manager KSP": "keylocker",
    "DigiCert Software Trust Manager CSP": "keylocker",
    "DigiCert Secure Software Manager CSP": "keylocker",
    "Azure Key Vault Key Storage Provider": "azure-key-vault",
    "Xorble Key Vault KSP": "azure-key-vault",
    "Google Cloud KMS Provider": "google-cloud-kms",
    "AWS KMS Key Storage Provider": "aws-kms",
    "eSignerKSP": "esigner",
}
CONTAINERS: Final[Mapping[str, str]] = {
    "azure-key-vault": "key_identifier",
    "google-cloud-kms": "kms_key",
    "aws-kms": "kms_key",
}
"""The option that /kc is; of every other key store it is the key pair's alias."""


def key_store_of(provider: str, configured: Mapping[str, object]) -> str | None:
    """The key store of a provider; None for one that is unknown. `configured` is the content of the named file."""
    if configured.get("csp") == provider and isinstance(configured.get("key_store"), str):
        return str(configured["key_store"])
    return PROVIDERS.get(provider)


def container_option(key_store: str) -> str:
    """The option of the key store that names the key."""
    return CONTAINERS.get(key_store, "keypair_alias")


def unknown_provider(provider: str) -> str:
    """The remedy for a name that is in no table."""
    near = did_you_mean(provider, PROVIDERS)
    return (
        f"{near}Write the name exactly, capitals included; known are {', '.join(PROVIDERS)}. Another is declared by "
        "`csp: NAME` and `key_store: STORE` in the file that KSPSIGN_CONFIG names."
    )
