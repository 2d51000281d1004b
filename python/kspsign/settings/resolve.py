"""Settings from what is given: arguments > task inputs / pipeline variables > kspsign.yml, resolved once.

No other module reads the environment or a configuration file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from kspsign.model.errors import ConfigurationError
from kspsign.settings.model import INTERNAL_FIELDS, Command, Settings
from kspsign.settings.network import network_variables

DEFAULT_CONFIG = "kspsign.yml"

CREDENTIAL_PREFIX = "SM_"
"""DigiCert's client tools and KSP read their host, API key and client certificate from such variables."""

AZURE_VARIABLES = frozenset(
    {
        "AZURESUBSCRIPTION_CLIENT_ID",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
        "AZURESUBSCRIPTION_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CONFIG_DIR",
        "AZURE_TENANT_ID",
        "REQUESTS_CA_BUNDLE",
        "SYSTEM_ACCESSTOKEN",
        "SYSTEM_OIDCREQUESTURI",
    }
)
"""What the Azure sign-in is told by variables; nobody else gets them."""

_AGENT_VARIABLES = frozenset(
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


def resolve(
    command: Command,
    arguments: Mapping[str, Any],
    *,
    inputs: Mapping[str, Any] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str],
    secrets: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from `arguments` (snake_case) over task `inputs` (camelCase) over the `config` file.

    Only keys that were really given may be in `arguments` and `inputs`. `environment` is asked for the variable
    that password_env names, for SM_* credentials and for what child processes need. `secrets` are the task's:
    "password", "accessToken", SM_* names and AZURE_VARIABLES, which win. Raises ConfigurationError with every fault
    named.
    """
    merged: dict[str, Any] = {**_read_config(config), **_from_camel(inputs or {}), **arguments}
    merged["command"] = command
    merged["agent_environment"] = {
        name: value for name, value in environment.items() if name.upper() in _AGENT_VARIABLES
    }
    given = secrets or {}
    variables = {**environment, **given}
    merged["network_environment"] = network_variables(variables)
    merged["credentials"] = _credentials(variables, merged.get("tool_env"))
    merged["azure_environment"] = {
        name.upper(): SecretStr(value) for name, value in variables.items() if value and name.upper() in AZURE_VARIABLES
    }
    field = "pkcs11_pin_env" if merged.get("pkcs11_pin_env") is not None else "password_env"
    merged["password"] = _secret(given.get("password"), field, merged, environment)
    merged["publish_token"] = _secret(given.get("accessToken"), "publish_token_env", merged, environment)
    try:
        return Settings.model_validate(merged)
    except ValidationError as invalid:
        raise ConfigurationError(
            "; ".join(_fault(error) for error in invalid.errors(include_url=False, include_context=False)),
            remedy="Correct the named options; `kspsign COMMAND --help` lists what each may be.",
        ) from invalid


def _secret(
    given: str | None, setting: str, merged: Mapping[str, Any], environment: Mapping[str, str]
) -> SecretStr | None:
    """The task's secret, else the value of the variable that `setting` names."""
    name = merged.get(setting)
    if given is None and name is not None:
        given = environment.get(str(name))
        if given is None:
            raise ConfigurationError(
                f"the environment variable {name} ({setting}) is not set",
                remedy=f"Map the secret variable into the step: env: {{ {name}: $(yourSecret) }}.",
            )
    return None if given is None else SecretStr(given)


def _credentials(variables: Mapping[str, str], more: object) -> dict[str, SecretStr]:
    """What only the tools get that sign: SM_* and the variables that tool_env names; an empty one is none."""
    named = set(more) if isinstance(more, (list, tuple)) else {more}
    return {
        name: SecretStr(value)
        for name, value in variables.items()
        if value and (name.upper().startswith(CREDENTIAL_PREFIX) or name in named)
    }


def _fault(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}" if place else text


def _from_camel(inputs: Mapping[str, Any]) -> dict[str, Any]:
    known = {to_camel(name): name for name in Settings.model_fields if name not in INTERNAL_FIELDS}
    unknown = sorted(set(inputs) - set(known))
    if unknown:
        raise ConfigurationError(
            f"unknown task input: {', '.join(unknown)}", remedy=f"Known inputs: {', '.join(sorted(known))}."
        )
    return {known[name]: value for name, value in inputs.items()}


def _read_config(path: Path | None) -> dict[str, Any]:
    chosen = path or Path(DEFAULT_CONFIG)
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError as missing:
        if path is None:
            return {}
        raise ConfigurationError(
            f"configuration file {path} does not exist", remedy="Correct --config.", file=str(path)
        ) from missing
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ConfigurationError(
            f"configuration file can't be read: {unreadable}",
            remedy="Save it as readable UTF-8.",
            file=str(chosen),
        ) from unreadable
    import yaml  # noqa: PLC0415 - few runs have a file

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as broken:
        raise ConfigurationError(f"not valid YAML: {broken}", remedy="Correct the file.", file=str(chosen)) from broken
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigurationError("must be a mapping of settings", remedy="Write `key: value` lines.", file=str(chosen))
    secret = sorted(INTERNAL_FIELDS & set(content))
    if secret:
        raise ConfigurationError(
            f"{', '.join(secret)} may not stand in a configuration file",
            remedy="Remove it.",
            file=str(chosen),
        )
    return {str(key): value for key, value in content.items()}
