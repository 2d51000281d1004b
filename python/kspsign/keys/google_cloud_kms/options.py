"""The options of key store google-cloud-kms: which key, and who signs in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from kspsign.keys.options import CloudKey, IssuerFetching, PipelineConnection
from kspsign.settings.store_options import Ambient, Metavar


class GoogleKmsOptions(CloudKey, IssuerFetching, PipelineConnection):
    """Key, certificate, and a credential file or a workload identity provider; else the machine's service account."""

    variables: ClassVar[frozenset[str]] = PipelineConnection.variables | {
        "GCE_METADATA_HOST",
        "GOOGLE_APPLICATION_CREDENTIALS",
    }

    google_credentials: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE")] = Field(
        None, description="Credential file of Google Cloud (default: GOOGLE_APPLICATION_CREDENTIALS)."
    )
    google_workload_provider: Annotated[str | None, Ambient.REFUSED, Metavar("NAME")] = Field(
        None,
        description="Workload identity provider for the pipeline's OIDC token: projects/.../providers/NAME.",
    )
    google_service_account: Annotated[str | None, Ambient.REFUSED, Metavar("EMAIL")] = Field(
        None, description="Service account to impersonate with it (default: none, direct access)."
    )
