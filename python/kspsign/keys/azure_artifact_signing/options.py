"""The options of key store azure-artifact-signing: which certificate profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from kspsign.keys.azure_identity.installed import azure_clients
from kspsign.keys.azure_identity.options import AzureSignIn
from kspsign.settings.store_options import Ambient, Metavar


class ArtifactSigningOptions(AzureSignIn):
    """Endpoint, account and profile, or the metadata file that has them, and the sign-in."""

    variables: ClassVar[frozenset[str]] = AzureSignIn.variables | {
        "BUILD_BUILDNUMBER",
        "BUILD_DEFINITIONNAME",
        "GITHUB_RUN_ID",
        "GITHUB_WORKFLOW",
    }
    timestamp_server: ClassVar[str | None] = "http://timestamp.acs.microsoft.com"
    needs_timestamp: ClassVar[bool] = True

    signing_endpoint: Annotated[str | None, Ambient.REFUSED, Metavar("URL")] = Field(
        None, description="Endpoint of the signing account's region: https://REGION.codesigning.azure.net."
    )
    signing_account: Annotated[str | None, Ambient.REFUSED, Metavar("NAME")] = Field(
        None, description="Artifact Signing account (case-sensitive)."
    )
    certificate_profile: Annotated[str | None, Ambient.REFUSED, Metavar("NAME")] = Field(
        None, description="Certificate profile of the account (case-sensitive)."
    )
    signing_metadata: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE")] = Field(
        None, description="JSON file with endpoint, account and profile, as SignTool's dlib reads it."
    )
    signing_dlib: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE")] = Field(
        None, description="Azure.CodeSigning.Dlib.dll (x64) or its folder, for --engine signtool (default: installed)."
    )
    correlation_id: Annotated[str | None, Ambient.REFUSED, Metavar("TEXT")] = Field(
        None, max_length=100, description="What the account's log calls this run (default: the build's name)."
    )

    @property
    def means_synchronised(self) -> bool:
        """Without any of them an earlier certsync is meant, which knows the profile."""
        own = (self.signing_endpoint, self.signing_account, self.certificate_profile, self.signing_metadata)
        return self.thumbprint is not None and own == (None,) * 4

    def check(self) -> None:
        """Raise ConfigurationError where a part of the address is missing or wrong, in the metadata file too."""
        with azure_clients("azure-artifact-signing"):
            from kspsign.keys.azure_artifact_signing.metadata import find_target  # noqa: PLC0415 - brings the clients

        if not self.means_synchronised:
            find_target(self, {})
