"""What SignTool's dlib is given: a metadata file, which holds no secret, and the variables of one sign-in alone.

The dlib signs in by DefaultAzureCredential of Azure.Identity, which tries one credential after the other and asks the
network for a managed identity, for minutes where there is none: everything but the one that is meant is excluded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from kspsign.keys.azure_artifact_signing.metadata import CREDENTIALS, SigningTarget
from kspsign.keys.azure_identity.options import AzureCredentialName
from kspsign.keys.azure_identity.sign_in import GivenSignIn
from kspsign.model.errors import ConfigurationError

_UNKNOWN_TO_OLD_ONES: Final = "BrokerCredential"
_Values = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class _DlibCredential:
    """One of Azure.Identity's credentials, and the variables that it reads."""

    name: str
    values: Callable[[GivenSignIn], _Values]


def metadata_text(target: SigningTarget, used: str) -> str:
    """The metadata file (SignTool's /dmdf) for `target`, in which the credential `used` alone is not excluded."""
    content = {
        "Endpoint": target.profile.endpoint,
        "CodeSigningAccountName": target.profile.account,
        "CertificateProfileName": target.profile.profile,
        "CorrelationId": target.correlation_id,
        "ExcludeCredentials": [name for name in CREDENTIALS if name not in {used, _UNKNOWN_TO_OLD_ONES}],
    }
    return json.dumps(content, indent=1) + "\n"


def dlib_sign_in(chosen: AzureCredentialName, given: GivenSignIn) -> tuple[str, dict[str, SecretStr]]:
    """The credential of the dlib that signs in as `chosen` would, and the variables that it needs.

    Where nothing is given ("auto") it is Azure CLI. Raises ConfigurationError for a credential that the dlib does not
    have, and for a part of it that is missing.
    """
    used = _BY_NAME.get(chosen)
    if used is None:
        raise ConfigurationError(
            f"SignTool's dlib can't sign in to Azure by {chosen}",
            remedy="Leave --engine out: the native engine can. Or run the step after a sign-in of Azure CLI "
            "(AzureCLI@2, azure/login) with --azure-credential cli.",
        )
    return used.name, {name: SecretStr(value) for name, value in used.values(given).items() if value}


def _by_secret(given: GivenSignIn) -> _Values:
    return {
        "AZURE_TENANT_ID": given.needed(given.tenant, "azure_tenant_id"),
        "AZURE_CLIENT_ID": given.needed(given.client, "azure_client_id"),
        "AZURE_CLIENT_SECRET": given.needed(given.variable("AZURE_CLIENT_SECRET"), "AZURE_CLIENT_SECRET"),
    }


def _by_certificate(given: GivenSignIn) -> _Values:
    tenant, client = given.needed_application()
    if given.certificate_file is None:
        raise ConfigurationError(
            "SignTool's dlib reads the application's certificate from a file only",
            remedy="Name the file with --azure-client-certificate, or leave --engine out: the native engine needs no "
            "file.",
        )
    return {
        "AZURE_TENANT_ID": tenant,
        "AZURE_CLIENT_ID": client,
        "AZURE_CLIENT_CERTIFICATE_PATH": str(given.certificate_file.absolute()),
        "AZURE_CLIENT_CERTIFICATE_PASSWORD": given.variable("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
    }


def _by_token_file(given: GivenSignIn) -> _Values:
    tenant, client = given.needed_application()
    file = given.needed(given.variable("AZURE_FEDERATED_TOKEN_FILE"), "AZURE_FEDERATED_TOKEN_FILE")
    return {"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_FEDERATED_TOKEN_FILE": file}


def _by_identity(given: GivenSignIn) -> _Values:
    return {"AZURE_CLIENT_ID": given.client}


def _by_cli(given: GivenSignIn) -> _Values:
    return {"AZURE_TENANT_ID": given.tenant, "AZURE_CONFIG_DIR": given.variable("AZURE_CONFIG_DIR")}


_CLI: Final = _DlibCredential("AzureCliCredential", _by_cli)
_BY_NAME: Final[Mapping[AzureCredentialName, _DlibCredential]] = {
    "client-secret": _DlibCredential("EnvironmentCredential", _by_secret),
    "client-certificate": _DlibCredential("EnvironmentCredential", _by_certificate),
    "workload-identity": _DlibCredential("WorkloadIdentityCredential", _by_token_file),
    "managed-identity": _DlibCredential("ManagedIdentityCredential", _by_identity),
    "cli": _CLI,
    "auto": _CLI,
}
