"""The options of key store vault: which server, which key of its transit engine, and the sign-in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kspsign.keys.options import CertificateFile, IssuerFetching, PipelineConnection
from kspsign.settings.store_options import Ambient, Metavar

VaultAuthName = Literal["auto", "token", "approle", "jwt", "kubernetes"]


class VaultOptions(CertificateFile, IssuerFetching, PipelineConnection):
    """The key is keypair_alias. Tokens and secret ids come from variables or files only."""

    variables: ClassVar[frozenset[str]] = PipelineConnection.variables | {
        "VAULT_ADDR",
        "VAULT_JWT",
        "VAULT_NAMESPACE",
        "VAULT_SECRET_ID",
        "VAULT_TOKEN",
    }

    vault_address: Annotated[str | None, Ambient.REFUSED, Metavar("URL")] = Field(
        None, description="URL of Vault or OpenBao (default: VAULT_ADDR)."
    )
    vault_namespace: Annotated[str | None, Ambient.REFUSED, Metavar("PATH")] = Field(
        None, description="Namespace of Vault Enterprise or OpenBao (default: VAULT_NAMESPACE)."
    )
    vault_mount: Annotated[str, Ambient.REFUSED, Metavar("PATH")] = Field(
        "transit", description="Path of Vault's transit secrets engine."
    )
    vault_key_version: Annotated[int | None, Ambient.HARMLESS] = Field(
        None, ge=1, description="Version of Vault's key (default: the certificate's)."
    )
    vault_auth: Annotated[VaultAuthName, Ambient.REFUSED] = Field(
        "auto", description="Sign-in to Vault; auto: by what is given."
    )
    vault_auth_mount: Annotated[str | None, Ambient.REFUSED, Metavar("PATH")] = Field(
        None, description="Path of Vault's auth method (default: its name)."
    )
    vault_role: Annotated[str | None, Ambient.REFUSED, Metavar("ROLE")] = Field(
        None, description="Role to sign in to Vault with; for AppRole its role id."
    )
    vault_audience: Annotated[str | None, Ambient.REFUSED, Metavar("TEXT")] = Field(
        None, description="Audience of the token that GitHub gives the job for Vault (default: Vault's URL)."
    )
    vault_token_file: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE")] = Field(
        None, description="File with Vault's token, or with the JWT to sign in to Vault with."
    )
