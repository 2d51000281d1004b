"""The options of key store example."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from kspsign.keys.options import CertificateFile
from kspsign.settings.store_options import Metavar, SecretVariable


class ExampleOptions(CertificateFile):
    """The key's file, and the variable with its passphrase."""

    example_key: Annotated[Path | None, Metavar("FILE")] = Field(None, description="Encrypted private key (PEM).")
    example_passphrase_env: Annotated[str | None, Metavar("NAME"), SecretVariable("example_passphrase")] = Field(
        None, description="Name of the environment variable with its passphrase."
    )
    example_passphrase: SecretStr | None = None
