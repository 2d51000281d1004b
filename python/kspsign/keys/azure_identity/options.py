"""The sign-in options shared by all Azure key stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kspsign.keys.options import PipelineConnection
from kspsign.settings.store_options import Ambient, Metavar

AzureCredentialName = Literal[
    "auto",
    "pipelines",
    "client-secret",
    "client-certificate",
    "workload-identity",
    "github",
    "managed-identity",
    "cli",
]


class AzureSignIn(PipelineConnection):
    """The kind of credential and its parts; what is not given comes from variables of the same meaning."""

    variables: ClassVar[frozenset[str]] = PipelineConnection.variables | {
        "AZURESUBSCRIPTION_CLIENT_ID",
        "AZURESUBSCRIPTION_TENANT_ID",
        "AZURE_CLIENT_CERTIFICATE",
        "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CONFIG_DIR",
        "AZURE_CONNECTION_SCHEME",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_TENANT_ID",
        "REQUESTS_CA_BUNDLE",
    }

    azure_credential: Annotated[AzureCredentialName, Ambient.REFUSED] = Field(
        "auto", description="Credential for Azure; auto: by what is given."
    )
    azure_tenant_id: Annotated[str | None, Ambient.REFUSED, Metavar("ID")] = Field(
        None, description="Entra tenant (default: AZURE_TENANT_ID)."
    )
    azure_client_id: Annotated[str | None, Ambient.REFUSED, Metavar("ID")] = Field(
        None, description="Application or managed identity (default: AZURE_CLIENT_ID)."
    )
    azure_client_certificate: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="Application's certificate with key, PEM or PKCS#12 (default: AZURE_CLIENT_CERTIFICATE_PATH)."
    )
