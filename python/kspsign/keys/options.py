"""Options that several key stores share, each declared once: the same name means the same in every store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from kspsign.settings.store_options import Ambient, Metavar, NeverIgnored, SecretVariable, StoreOptions


class PasswordVariable(StoreOptions):
    """The password that unlocks the key, by the environment variable that holds it."""

    password_env: Annotated[str | None, Ambient.REFUSED, Metavar("NAME"), SecretVariable("password")] = Field(
        None, description="Name of the environment variable with its password."
    )
    password: SecretStr | None = None


class CertificateFile(StoreOptions):
    """A certificate that is not where the key is."""

    certificate: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE"), NeverIgnored()] = Field(
        None, description="Certificate file to sign with, without store or certsync."
    )


class AccountId(StoreOptions):
    """The account of DigiCert ONE to use."""

    account_id: Annotated[str | None, Ambient.REFUSED, Metavar("ID")] = Field(
        None, description="DigiCert ONE account of the key pair, where there are several."
    )


class IssuerFetching(StoreOptions):
    """Whether missing issuers are fetched (AIA)."""

    no_aia: Annotated[bool, Ambient.HARMLESS] = Field(
        False, description="Never fetch missing intermediate certificates from where the CA says."
    )
