"""Secrets of a run, from variables and the task, and what child processes get of the environment."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import SecretStr

from kspsign.model.errors import ConfigurationError
from kspsign.settings.faults import option_name
from kspsign.settings.store_options import TASK_SECRET, StoreOptions, secret_text, secret_variables

CREDENTIAL_PREFIX = "SM_"
"""DigiCert's client tools and KSP read their host, API key and client certificate from such variables."""

AGENT_VARIABLES = frozenset(
    {
        "ALLUSERSPROFILE",
        "APPDATA",
        "COMMONPROGRAMFILES",
        "COMMONPROGRAMFILES(X86)",
        "COMMONPROGRAMW6432",
        "COMPUTERNAME",
        "COMSPEC",
        "HOME",
        "HOMEDRIVE",
        "HOMEPATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "LANG",
        "LC_ALL",
        "LOCALAPPDATA",
        "NO_PROXY",
        "NUMBER_OF_PROCESSORS",
        "OS",
        "PATH",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
        "PROGRAMDATA",
        "PROGRAMFILES",
        "PROGRAMFILES(X86)",
        "PROGRAMW6432",
        "PUBLIC",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "TMP",
        "TMPDIR",
        "USERDOMAIN",
        "USERNAME",
        "USERPROFILE",
        "WINDIR",
    }
)
"""What every child process gets of the agent's environment; everything else may be some other step's secret."""

NETWORK_VARIABLES = frozenset(
    {
        "AGENT_CAINFO",
        "AGENT_PROXYBYPASSLIST",
        "AGENT_PROXYPASSWORD",
        "AGENT_PROXYURL",
        "AGENT_PROXYUSERNAME",
        "ALL_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
    }
)
"""In upper case; those of proxies are read in lower case too, which goes first."""

_VARIABLE = "[A-Z][A-Z0-9]*(_[A-Z0-9]+)*"
"""A name in the form that variables usually have; another one may be a secret in its place."""


def store_secrets(
    models: Collection[type[StoreOptions]],
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
) -> dict[str, SecretStr]:
    """The task's secret, else the values of the variables that options of a key store name, of which `models` may be
    meant.

    Raises ConfigurationError when one is not set, or options of two key stores name one each.
    """
    named = {
        name: variable.secret
        for model in models
        for name, variable in secret_variables(model)
        if given.get(name) is not None
    }
    if named and not any(set(named) <= set(model.model_fields) for model in models):
        raise ConfigurationError(
            f"{' and '.join(map(option_name, named))} exclude each other: a run has one key store",
            remedy="Name the one secret of the key store that signs.",
        )
    task = secrets.get(TASK_SECRET)
    if task is not None:
        return {TASK_SECRET: secret_text(task)}
    return {secret: _variable(name, given[name], environment) for name, secret in named.items()}


def publish_token(name: object, environment: Mapping[str, str], secrets: Mapping[str, str]) -> SecretStr | None:
    """The task's token, else that in the variable `name`. Raises ConfigurationError when it is not set."""
    if "accessToken" in secrets:
        return secret_text(secrets["accessToken"])
    return None if name is None else _variable("publish_token_env", name, environment)


def check_variable_name(setting: str, name: str) -> None:
    """Raises ConfigurationError for the name of a variable that is not set and may be the secret in its place."""
    if not re.fullmatch(_VARIABLE, name):
        raise ConfigurationError(
            f"{option_name(setting)} does not hold the name of a variable that is set; what it holds is not shown, "
            "since it may be the secret itself",
            remedy="Put the secret into a variable such as SIGNING_PASSWORD, and give that name.",
        )


def _variable(setting: str, name: object, environment: Mapping[str, str]) -> SecretStr:
    """The value of the variable `name`, which `setting` names. Raises ConfigurationError when it is not set."""
    value = environment.get(str(name))
    if value is not None:
        return secret_text(value)
    check_variable_name(setting, str(name))
    raise ConfigurationError(
        f"the environment variable {name} ({option_name(setting)}) is not set",
        remedy=f"Map the secret variable into the step: env: {{ {name}: $(yourSecret) }}.",
    )


def store_variables(
    variables: Mapping[str, str], known: Collection[str], named: Collection[str]
) -> dict[str, SecretStr]:
    """The variables that a key store reads: `known` ones in capitals, `named` ones as they were written; an empty one
    is none."""
    found = {name: value for name, value in variables.items() if name in named}
    by_capitals = {name.upper(): value for name, value in variables.items()}
    found |= {name: by_capitals[name.upper()] for name in named if name not in found and name.upper() in by_capitals}
    found |= {name: value for name, value in by_capitals.items() if name in known}
    return {name: secret for name, value in found.items() if (secret := secret_text(value)).get_secret_value()}


def program_credentials(variables: Mapping[str, str], more: object) -> dict[str, SecretStr]:
    """What only the tools get that sign: SM_* and the variables that tool_env names; an empty one is none."""
    named = set(more) if isinstance(more, (list, tuple)) else {more}
    return {
        name: secret
        for name, value in variables.items()
        if (name.upper().startswith(CREDENTIAL_PREFIX) or name in named) and (secret := secret_text(value))
    }


def network_variables(environment: Mapping[str, str]) -> dict[str, SecretStr]:
    """What `environment` holds of NETWORK_VARIABLES; a proxy's URL may hold a password."""
    return {name: SecretStr(value) for name, value in environment.items() if name.upper() in NETWORK_VARIABLES}
