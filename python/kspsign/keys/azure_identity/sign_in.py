"""What is given to sign in to Azure with: options, the step's variables, the service connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kspsign.keys.azure_identity.options import AzureSignIn
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError
from kspsign.settings.faults import option_name

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
CONNECTION_SCHEME: Final = "AZURE_CONNECTION_SCHEME"
"""The task tells in it how the Azure RM connection signs in: WorkloadIdentityFederation, ServicePrincipal or
ManagedServiceIdentity."""
MANAGED_IDENTITY_SCHEME: Final = "ManagedServiceIdentity"


@dataclass(frozen=True, slots=True)
class GivenSignIn:
    """Options first, then variables; no secret is in what is shown of it."""

    options: AzureSignIn
    surroundings: Surroundings

    @property
    def client(self) -> str | None:
        """The application or the managed identity."""
        return self.options.azure_client_id or self.variable("AZURE_CLIENT_ID")

    @property
    def application(self) -> str | None:
        """The application, also that of AzureCLI@2's connection."""
        return self.client or self.variable("AZURESUBSCRIPTION_CLIENT_ID")

    @property
    def tenant(self) -> str | None:
        """The tenant of Entra ID."""
        return (
            self.options.azure_tenant_id
            or self.variable("AZURE_TENANT_ID")
            or self.variable("AZURESUBSCRIPTION_TENANT_ID")
        )

    @property
    def connection(self) -> str | None:
        """The id of the Azure RM service connection."""
        return self.options.azure_connection_id or self.variable("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")

    @property
    def certificate_file(self) -> Path | None:
        """The file with the application's certificate and key."""
        named = self.options.azure_client_certificate or self.variable("AZURE_CLIENT_CERTIFICATE_PATH")
        return None if named is None else Path(named)

    @property
    def token_file(self) -> Path | None:
        """The file with a token of another identity provider, which Kubernetes and other hosts renew."""
        named = self.variable("AZURE_FEDERATED_TOKEN_FILE")
        return None if named is None else Path(named)

    def variable(self, name: str) -> str | None:
        """The value of a variable of the step; None when it is not set or empty."""
        value = self.surroundings.environment.get(name)
        return (value.get_secret_value() or None) if value is not None else None

    def needed(self, value: str | None, name: str) -> str:
        """`value`, or ConfigurationError that names what is missing: an option's field, or a variable."""
        if value:
            return value
        if name.islower():
            name = option_name(name)
            remedy = f"Give {name}, or choose another --azure-credential."
        else:
            remedy = (
                f"Map the secret into the step: env: {{ {name}: $(...) }}; for System.AccessToken it is never implicit."
            )
        raise ConfigurationError(f"the sign-in to Azure needs {name}", remedy=remedy)

    def needed_application(self) -> tuple[str, str]:
        """Tenant and client of an application, or ConfigurationError."""
        tenant = self.needed(self.tenant, "azure_tenant_id")
        return tenant, self.needed(self.application, "azure_client_id")


def check_sign_in(options: AzureSignIn, surroundings: Surroundings) -> None:
    """Raise ConfigurationError for a sign-in that can be seen not to be accepted, before anybody is asked."""
    given = GivenSignIn(options, surroundings)
    if given.client is not None and not _GUID.fullmatch(given.client):
        raise ConfigurationError(
            f"the client id {given.client!r} is not a GUID",
            remedy="Give the Application (client) ID of the app registration, or the managed identity's client ID.",
        )
    if _GUID.fullmatch(given.variable("AZURE_CLIENT_SECRET") or ""):
        raise ConfigurationError(
            "AZURE_CLIENT_SECRET holds a GUID: that is the secret's ID, not its value",
            remedy="Give the secret's value, which Entra shows once, when the secret is made; make a new one.",
        )
