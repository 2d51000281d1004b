"""The token for Azure DevOps, of the commands that read builds: the value of a variable of the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from kspsign.model.errors import ConfigurationError
from kspsign.settings.context import Surface
from kspsign.settings.secrets import check_variable_name
from kspsign.settings.unmapped import in_text, refuse_unmapped

DEFAULT_TOKEN_VARIABLE: Final = "SYSTEM_ACCESSTOKEN"  # noqa: S105 - the name of a variable


def azure_devops_token(name: str, environment: Mapping[str, str], surface: Surface) -> SecretStr:
    """The token in the variable `name`. Raises ConfigurationError when it is not set, or holds a `$(name)` that the
    pipeline did not replace."""
    token = environment.get(name, "").strip("\r\n")
    if not token:
        check_variable_name("token_env", name)
        raise ConfigurationError(
            f"the environment variable {name} with the token is not set",
            remedy=f"Map it into the step: env: {{ {name}: $(System.AccessToken) }}; or name another by --token-env.",
        )
    refuse_unmapped(in_text(name, token), surface)
    return SecretStr(token)
