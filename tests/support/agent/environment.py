"""The environment of a task's handler, by the agent's naming rules."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MACRO = re.compile(r"\$\(([^()]+)\)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service connection: its URL and the secrets of its authentication scheme."""

    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "Token"


def environment_name(name: str) -> str:
    """The environment variable of a pipeline variable or input."""
    return name.replace(".", "_").replace(" ", "_").upper()


def handler_environment(
    definition: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """Everything the handler sees: `inherited` from the agent, variables, secrets and the task's inputs.

    Inputs that are not given get their default, else the empty text; relative filePath inputs (the empty one
    too) are rooted below the sources. Names that the task does not declare are refused: LookupError.
    """
    known = {environment_name(name): value for name, value in {**variables, **secrets}.items()}
    declared = {str(declared["name"]): declared for declared in definition["inputs"]}
    unknown = set(inputs) - set(declared)
    if unknown:
        raise LookupError(f"the task has no input {', '.join(sorted(unknown))}")
    environment = {**inherited, "TF_BUILD": "True"}
    for name, declaration in declared.items():
        written = inputs.get(name, str(declaration.get("defaultValue", "")))
        value = expand(written, known).strip()
        if declaration["type"] == "filePath":
            value = f"{variables['Build.SourcesDirectory']}/{value}".rstrip("/")
        environment[f"INPUT_{environment_name(name)}"] = value
    environment |= {environment_name(name): value for name, value in variables.items()}
    environment |= {f"SECRET_{environment_name(name)}": value for name, value in secrets.items()}
    environment |= {"VSTS_PUBLIC_VARIABLES": json.dumps(list(variables))}
    environment |= {"VSTS_SECRET_VARIABLES": json.dumps(list(secrets))}
    return environment | _system_connection(secrets["System.AccessToken"])


def endpoint_environment(
    definition: Mapping[str, Any], inputs: Mapping[str, str], endpoints: Mapping[str, Endpoint]
) -> dict[str, str]:
    """What a handler sees of the service connections that its own connectedService inputs name by id, and no other."""
    named = {
        inputs[declaration["name"]]
        for declaration in definition["inputs"]
        if declaration["type"].startswith("connectedService:") and inputs.get(declaration["name"])
    }
    environment: dict[str, str] = {}
    for identifier in named:
        endpoint = endpoints[identifier]
        authorization = {"scheme": endpoint.scheme, "parameters": dict(endpoint.parameters)}
        environment[f"ENDPOINT_URL_{identifier}"] = endpoint.url
        environment[f"ENDPOINT_AUTH_{identifier}"] = json.dumps(authorization)
        environment[f"ENDPOINT_AUTH_SCHEME_{identifier}"] = endpoint.scheme
        for name, value in endpoint.parameters.items():
            environment[f"ENDPOINT_AUTH_PARAMETER_{identifier}_{name.upper()}"] = value
    return environment


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace $(name) by the variable's value; unknown names stay as they are."""
    return _MACRO.sub(lambda found: known.get(environment_name(found[1]), found[0]), text)


def _system_connection(token: str) -> dict[str, str]:
    authorization = {"scheme": "OAuth", "parameters": {"AccessToken": token}}
    return {
        "ENDPOINT_URL_SYSTEMVSSCONNECTION": "https://dev.azure.com/example/",
        "ENDPOINT_AUTH_SYSTEMVSSCONNECTION": json.dumps(authorization),
        "ENDPOINT_AUTH_SCHEME_SYSTEMVSSCONNECTION": "OAuth",
        "ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN": token,
    }
