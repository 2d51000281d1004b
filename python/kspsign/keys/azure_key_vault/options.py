"""The options of key store azure-key-vault: which key or certificate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kspsign.keys.azure_identity.options import AzureSignIn
from kspsign.keys.options import CertificateFile, IssuerFetching
from kspsign.settings.store_options import Ambient, Metavar


class AzureKeyVaultOptions(CertificateFile, IssuerFetching, AzureSignIn):
    """The key's URL and the sign-in."""

    key_identifier: Annotated[str | None, Ambient.REFUSED, Metavar("URL")] = Field(
        None, description="URL of the key or certificate (key store azure-key-vault)."
    )
