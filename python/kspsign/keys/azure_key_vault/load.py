"""Loads the store together with Microsoft's clients, which are an extra and run `uname` with the whole environment."""

from __future__ import annotations

from kspsign.keys.azure_identity.platform_name import find_platform_name
from kspsign.model.errors import PrerequisiteError

find_platform_name()
try:
    from kspsign.keys.azure_key_vault.store import KeyVaultKeyStore
except ModuleNotFoundError as missing:
    raise PrerequisiteError(
        f"key store azure-key-vault needs Microsoft's clients, which are not installed ({missing.name})",
        code="AZURE_NOT_INSTALLED",
        remedy="pip install 'kspsign[azure]'; the Azure Pipelines task carries them.",
    ) from missing

__all__ = ["KeyVaultKeyStore"]
