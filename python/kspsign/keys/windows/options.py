"""The options of key store windows: the KSP, the Windows certificate store, and the client tools to install."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from kspsign.keys.options import AccountId, CertificateFile
from kspsign.settings.store_options import Ambient, Metavar


class WindowsOptions(CertificateFile, AccountId):
    """The key and certificate to use. The vendor's programs get SM_* and the variables of --tool-env."""

    program_credentials: ClassVar[bool] = True

    csp: Annotated[str, Ambient.REFUSED, Metavar("NAME")] = Field(
        "DigiCert Signing Manager KSP", description="Exact name of the KSP (SignTool's /csp)."
    )
    certificate_store: Annotated[Literal["user", "system"], Ambient.HARMLESS] = Field(
        "user", description="Whose Windows certificate store (My)."
    )
    tools_msi: Annotated[str | None, Ambient.REFUSED, Metavar("FILE|URL")] = Field(
        None, description="MSI (file or https URL) to install where smctl is not found."
    )
    tools_msi_sha256: Annotated[str | None, Ambient.REFUSED, Metavar("HEX")] = Field(
        None, description="SHA-256 of that MSI; nothing else is installed."
    )

    @field_validator("tools_msi_sha256")
    @classmethod
    def _hex64(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[0-9A-Fa-f]{64}", value):
            raise ValueError(f"a SHA-256 has 64 hex digits; {value!r} does not")
        return value.lower() if value else None

    @field_validator("tools_msi")
    @classmethod
    def _file_or_https(cls, value: str | None) -> str | None:
        scheme, found, _rest = (value or "").partition("://")
        if found and scheme.lower() != "https":
            raise ValueError(f"an installer is downloaded only over https, not over {scheme}")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.tools_msi is None) != (self.tools_msi_sha256 is None):
            raise ValueError("--tools-msi and --tools-msi-sha256 go together: only an MSI of known hash is installed")
        if self.certificate is not None and self.keypair_alias is None:
            raise ValueError("--certificate with --key-store windows needs --keypair-alias")
        return self
