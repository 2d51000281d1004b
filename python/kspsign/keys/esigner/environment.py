"""SSL.com's two environments, and the login that the step gives for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from pydantic import SecretStr

from kspsign.keys.esigner.options import EnvironmentName, ESignerOptions
from kspsign.keys.esigner.totp import read_secret
from kspsign.model.errors import ConfigurationError

USER, PASSWORD, TOTP = "ESIGNER_USERNAME", "ESIGNER_PASSWORD", "ESIGNER_TOTP_SECRET"
CODE: Final = "ESIGNER_CREDENTIALS"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where tokens are issued, where the API is, and the public client id of SSL.com's own CodeSignTool there."""

    login: str
    api: str
    client_id: str


ENVIRONMENTS: Final[Mapping[EnvironmentName, Environment]] = {
    "production": Environment(
        "https://login.ssl.com", "https://cs.ssl.com", "kaXTRACNijSWsFdRKg_KAfD3fqrBlzMbWs6TwWHwAn8"
    ),
    "sandbox": Environment(
        "https://oauth-sandbox.ssl.com", "https://cs-try.ssl.com", "qOUeZCCzSqgA93acB3LYq6lBNjgZdiOxQc-KayC3UMw"
    ),
}


@dataclass(frozen=True, slots=True)
class ESignerLogin:
    """A user of SSL.com. `totp` is the secret of the one-time passwords, None where none was given."""

    environment: Environment
    client_id: str
    user: str
    password: str = field(repr=False)
    totp: bytes | None = field(repr=False)

    @classmethod
    def find(cls, options: ESignerOptions, variables: Mapping[str, SecretStr]) -> Self:
        """From the options and the variables ESIGNER_*. Raises ConfigurationError for what is missing or unusable."""
        given = {name: secret.get_secret_value().strip() for name, secret in variables.items()}
        if missing := [name for name in (USER, PASSWORD) if not given.get(name)]:
            raise ConfigurationError(
                f"key store esigner needs {' and '.join(missing)}, which the environment does not have",
                code=CODE,
                remedy="Map the secrets into the step: "
                f"env: {{ {USER}: ..., {PASSWORD}: $({PASSWORD}), {TOTP}: $({TOTP}) }}.",
            )
        environment = ENVIRONMENTS[options.esigner_environment]
        totp = read_secret(given[TOTP], TOTP) if given.get(TOTP) else None
        client_id = options.esigner_client_id or environment.client_id
        return cls(environment, client_id, given[USER], given[PASSWORD], totp)
