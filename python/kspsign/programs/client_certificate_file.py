"""The secret client certificate as a file, which external programs need; it exists only while they run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.text import decode_base64
from kspsign.settings.program_settings import ProgramSettings

_ENCODED = "SM_CLIENT_CERT_FILE_B64"
_FILE = "SM_CLIENT_CERT_FILE"
PREFIX = "kspsign-private-"
"""The prefix of private folders in the agent's temporary folder, the task's too; its post-job step removes them."""


@contextlib.contextmanager
def with_client_certificate_file(settings: ProgramSettings) -> Iterator[Mapping[str, SecretStr]]:
    """The credentials as external programs need them, within the block: the client certificate as a file.

    SM_CLIENT_CERT_FILE_B64 (base64 of the PKCS#12) becomes a file that only this user may read, removed at the
    end. Raises ConfigurationError when it is not base64, PrerequisiteError when the folder can't be written.
    """
    encoded = settings.credentials.get(_ENCODED)
    if encoded is None:
        yield settings.credentials
        return
    content = _decoded(encoded)
    try:
        private = tempfile.TemporaryDirectory(prefix=PREFIX, dir=settings.temp_folder, ignore_cleanup_errors=True)
    except OSError as refused:
        raise _unwritable(settings, refused) from refused
    with private as folder:
        file = Path(folder) / "client.p12"
        try:
            file.touch(mode=0o600)
            file.write_bytes(content)
        except OSError as refused:
            raise _unwritable(settings, refused) from refused
        given = {name: value for name, value in settings.credentials.items() if name != _ENCODED}
        yield {**given, _FILE: SecretStr(str(file))}


def _decoded(encoded: SecretStr) -> bytes:
    try:
        return decode_base64(encoded.get_secret_value())
    except ValueError as broken:
        # The text is a secret: what is wrong with it is not quoted.
        raise ConfigurationError(
            f"{_ENCODED} is not base64",
            remedy="Encode the .p12 file: [Convert]::ToBase64String([IO.File]::ReadAllBytes('client.p12')).",
        ) from broken


def _unwritable(settings: ProgramSettings, refused: OSError) -> PrerequisiteError:
    folder = settings.temp_folder or tempfile.gettempdir()
    return PrerequisiteError(
        f"the client certificate can't be put into {folder}: {refused.strerror or refused}",
        code="TEMP_NOT_WRITABLE",
        remedy="Free space in the agent's temporary folder, or set SM_CLIENT_CERT_FILE to a secure file's path.",
    )
