"""Microsoft's clients, which are an extra: loaded without showing `uname` the environment, or told as missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kspsign.keys.azure_identity.platform_name import find_platform_name
from kspsign.model.errors import PrerequisiteError


@contextlib.contextmanager
def azure_clients(store: str) -> Iterator[None]:
    """Import them inside, for key store `store`. Raises PrerequisiteError when they are not installed."""
    find_platform_name()
    try:
        yield
    except ModuleNotFoundError as missing:
        raise PrerequisiteError(
            f"key store {store} needs Microsoft's clients, which are not installed ({missing.name})",
            code="AZURE_NOT_INSTALLED",
            remedy="Install them where kspsign is: pip install azure-identity azure-keyvault-certificates "
            "azure-keyvault-keys. The Azure Pipelines task carries them.",
        ) from missing
