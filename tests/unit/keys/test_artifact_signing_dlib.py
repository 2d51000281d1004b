"""What SignTool's dlib is given: one credential, its variables alone, and a metadata file without a secret."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from kspsign.keys.azure_artifact_signing.dlib import dlib_sign_in, metadata_text
from kspsign.keys.azure_artifact_signing.identifier import ProfileAddress
from kspsign.keys.azure_artifact_signing.metadata import CREDENTIALS, SigningTarget
from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_identity.options import AzureCredentialName
from kspsign.keys.azure_identity.sign_in import GivenSignIn
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError

TENANT, CLIENT = "tenant-1", "client-1"
EVERYTHING = {
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": "client-secret-value",
    "AZURE_CLIENT_CERTIFICATE_PATH": "/certificate.pem",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD": "certificate-password",
    "AZURE_FEDERATED_TOKEN_FILE": "/token",
    "AZURE_CONFIG_DIR": "/azure",
    "SYSTEM_ACCESSTOKEN": "job-token",
}


def given(**variables: str) -> GivenSignIn:
    environment = {name: SecretStr(value) for name, value in variables.items()}
    return GivenSignIn(ArtifactSigningOptions(), Surroundings(threading.Event(), Path(), environment=environment))


@pytest.mark.parametrize(
    ("chosen", "credential", "variables"),
    [
        ("client-secret", "EnvironmentCredential", {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"}),
        (
            "client-certificate",
            "EnvironmentCredential",
            {
                *("AZURE_TENANT_ID", "AZURE_CLIENT_ID"),
                *("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD"),
            },
        ),
        (
            "workload-identity",
            "WorkloadIdentityCredential",
            {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"},
        ),
        ("managed-identity", "ManagedIdentityCredential", {"AZURE_CLIENT_ID"}),
        ("cli", "AzureCliCredential", {"AZURE_TENANT_ID", "AZURE_CONFIG_DIR"}),
        ("auto", "AzureCliCredential", {"AZURE_TENANT_ID", "AZURE_CONFIG_DIR"}),
    ],
)
def test_each_credential_has_its_variables_and_no_other(
    chosen: AzureCredentialName, credential: str, variables: set[str]
) -> None:
    used, handed = dlib_sign_in(chosen, given(**EVERYTHING))
    assert (used, set(handed)) == (credential, variables)
    assert all(handed[name].get_secret_value() == EVERYTHING[name] for name in variables)


@pytest.mark.parametrize("chosen", ["pipelines", "github"])
def test_a_token_of_the_job_is_not_for_the_dlib(chosen: AzureCredentialName) -> None:
    with pytest.raises(ConfigurationError, match=f"can't sign in to Azure by {chosen}") as refused:
        dlib_sign_in(chosen, given(**EVERYTHING))
    assert "--azure-credential cli" in refused.value.remedy


@pytest.mark.parametrize(
    ("chosen", "variables", "said"),
    [
        ("client-secret", {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}, "AZURE_CLIENT_SECRET"),
        (
            "client-certificate",
            {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_CERTIFICATE": "cGZ4"},
            "from a file only",
        ),
        ("workload-identity", {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}, "AZURE_FEDERATED_TOKEN_FILE"),
    ],
)
def test_a_part_that_is_missing_is_named(chosen: AzureCredentialName, variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        dlib_sign_in(chosen, given(**variables))


def test_the_metadata_excludes_every_other_credential() -> None:
    profile = ProfileAddress.parse("https://weu.codesigning.azure.net/", "contoso", "release")
    content = json.loads(metadata_text(SigningTarget(profile, "build 7", frozenset()), "EnvironmentCredential"))
    excluded = content.pop("ExcludeCredentials")
    assert content == {
        "Endpoint": "https://weu.codesigning.azure.net",
        "CodeSigningAccountName": "contoso",
        "CertificateProfileName": "release",
        "CorrelationId": "build 7",
    }
    assert set(excluded) == set(CREDENTIALS) - {"EnvironmentCredential", "BrokerCredential"}
