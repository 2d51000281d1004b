"""The options of key store pkcs11: the vendor's library, the token, the key and the PIN."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from kspsign.keys.options import CertificateFile, IssuerFetching
from kspsign.settings.store_options import Ambient, Metavar, OneOf, SecretVariable


class Pkcs11Options(CertificateFile, IssuerFetching):
    """The location of the key, and how to log in. Vendors' libraries get SM_* and the variables of --tool-env."""

    program_credentials: ClassVar[bool] = True

    pkcs11_module: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE")] = Field(
        None, description="PKCS#11 library of the token's vendor (key store pkcs11)."
    )
    pkcs11_parameters: Annotated[str | None, Ambient.REFUSED, Metavar("TEXT")] = Field(
        None, description="Parameters for initialising the PKCS#11 library, such as NSS's: configdir='sql:/nss'."
    )
    pkcs11_token: Annotated[str | None, Ambient.REFUSED, OneOf("token"), Metavar("LABEL")] = Field(
        None,
        description="Label (with * and ?) or serial number of the PKCS#11 token (default: the only one).",
    )
    pkcs11_slot: Annotated[int | None, Ambient.REFUSED, OneOf("token")] = Field(
        None, ge=0, description="Slot id of the PKCS#11 token, instead of its label."
    )
    pkcs11_key_id: Annotated[str | None, Ambient.HARMLESS, Metavar("HEX")] = Field(
        None, description="CKA_ID of the key in hex, instead of keypair_alias (label)."
    )
    pkcs11_pin_env: Annotated[str | None, Ambient.REFUSED, Metavar("NAME"), SecretVariable("pkcs11_pin")] = Field(
        None, description="Name of the environment variable with the token's PIN."
    )
    pkcs11_timeout: Annotated[int, Ambient.REFUSED, Metavar("SECONDS")] = Field(
        120, ge=1, le=3600, description="Longest wait for the PKCS#11 library; a touch or a PIN pad takes time too."
    )
    pkcs11_pin: SecretStr | None = None

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.pkcs11_token is not None and self.pkcs11_slot is not None:
            raise ValueError("--pkcs11-token and --pkcs11-slot exclude each other")
        return self
