"""Options that several key stores share, each declared once: the same name means the same in every store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from kspsign.model.errors import ConfigurationError
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


class CloudKey(CertificateFile):
    """A key of a cloud's key management service, which keeps no certificates."""

    kms_key: Annotated[str | None, Ambient.REFUSED, Metavar("KEY")] = Field(
        None, description="Key of aws-kms (ARN, id, alias/NAME) or google-cloud-kms (projects/.../cryptoKeys/NAME)."
    )
    kms_endpoint: Annotated[str | None, Ambient.REFUSED, Metavar("URL")] = Field(
        None, description="Where the key management service is reached (default: its public endpoint)."
    )

    @property
    def means_synchronised(self) -> bool:
        """Without a key an earlier certsync is meant, which knows it."""
        return self.thumbprint is not None and self.kms_key is None

    def certificate_place(self, store: str, service: str) -> Path:
        """The file or folder of --certificate, absolute. Raises ConfigurationError when none is named."""
        if self.certificate is None:
            raise ConfigurationError(
                f"key store {store} needs the certificate of the key: {service} keeps none",
                remedy="Name its file, or a folder of such files, with --certificate.",
            )
        return self.certificate.absolute()


class PipelineConnection(StoreOptions):
    """The identity that the pipeline vouches for with an OIDC token: of a service connection, or of a GitHub job."""

    variables: ClassVar[frozenset[str]] = frozenset(
        {
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
            "SYSTEM_ACCESSTOKEN",
            "SYSTEM_OIDCREQUESTURI",
        }
    )

    azure_connection_id: Annotated[str | None, Ambient.REFUSED, Metavar("ID")] = Field(
        None, description="Id of the Azure RM service connection (default: AZURESUBSCRIPTION_SERVICE_CONNECTION_ID)."
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
