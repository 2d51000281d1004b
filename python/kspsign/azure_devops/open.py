"""Opens the client. The azure-devops package is slow to import, so it is imported here only."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from kspsign.azure_devops.protocol import AzureDevOps
from kspsign.model.errors import ConfigurationError
from kspsign.model.network_options import NetworkOptions

_CACHE_VARIABLE = "AZURE_DEVOPS_CACHE_DIR"


def open_client(
    collection: str,
    project: str,
    token: SecretStr,
    *,
    network: NetworkOptions,
    temp_folder: Path,
    pause: Callable[[float], bool],
) -> AzureDevOps:
    """The client for `project` of the `collection` URL. `pause` waits the seconds and says whether to give up.

    Raises ConfigurationError when the URL is none that a token may be sent to, and for a proxy or a CA file of
    `network` that can't be used.
    """
    _private_cache(temp_folder)
    from kspsign.azure_devops.client import DevOpsClient  # noqa: PLC0415 - see above

    return DevOpsClient(collection, project, token, pause, network)


def _private_cache(temp_folder: Path) -> None:
    """Keep what the package caches on disk from others: whoever writes its route table decides what we read.

    The package reads the variable once, when it is imported.
    """
    if "azure.devops.client" in sys.modules:
        return
    try:
        temp_folder.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="kspsign-azure-", dir=temp_folder)
    except OSError as refused:
        raise ConfigurationError(
            f"can't create a private folder: {refused}",
            remedy="Give this user write access to the folder for temporary files, and room on its disk.",
            file=str(temp_folder),
        ) from refused
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = os.environ.get(_CACHE_VARIABLE)
    os.environ[_CACHE_VARIABLE] = folder
    try:
        import azure.devops.client  # noqa: F401, PLC0415 - imported for what it reads now
    finally:
        if before is None:
            del os.environ[_CACHE_VARIABLE]
        else:
            os.environ[_CACHE_VARIABLE] = before
