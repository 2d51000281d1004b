"""What signs in to Azure on the agent itself: the endpoints of its managed identities, and an Azure CLI."""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from support.key_vault.world import IDENTITIES, IDENTITY_HEADER, TENANT, World

IMDS, APP_SERVICE = "/metadata/identity/oauth2/token", "/msi/token"
LIFE = 86399

Answer = tuple[int, dict[str, Any]]


def identity(world: World, path: str, query: dict[str, list[str]], headers: dict[str, str]) -> Answer:
    """A VM's metadata service (IMDS, 2018-02-01), or App Service's endpoint (2019-08-01), as each is documented."""
    wanted = {name: values[0] for name, values in query.items() if len(values) == 1}
    if path == IMDS:
        if headers.get("metadata") != "true" or "x-forwarded-for" in headers:
            return 400, _refused("bad_request_102", "Required metadata header not specified")
        version = "2018-02-01"
    elif path == APP_SERVICE:
        if headers.get("x-identity-header") != IDENTITY_HEADER:
            return 401, {"statusCode": 401, "message": "Unauthorized"}
        version = "2019-08-01"
    else:
        return 404, _refused("not_found", path)
    if wanted.get("api-version") != version or not wanted.get("resource"):
        return 400, _refused("invalid_request", "api-version or resource is not as it should be")
    client = IDENTITIES.get(wanted.get("client_id"))
    if client is None or set(wanted) - {"api-version", "resource", "client_id"}:
        return 400, _refused("invalid_request", "Identity not found")
    token = f"identity-token-{secrets.token_hex(16)}"
    world.tokens[token] = wanted["resource"]
    world.signed_in.append(client)
    given = {"access_token": token, "client_id": client, "resource": wanted["resource"], "token_type": "Bearer"}
    expiry = {"expires_on": str(int(time.time()) + LIFE)}
    return 200, given | expiry | ({"expires_in": str(LIFE), "not_before": "0"} if path == IMDS else {})


def _refused(code: str, description: str) -> dict[str, Any]:
    return {"error": code, "error_description": description}


_AZ = '''#!{python} -I
"""Azure CLI as far as a token goes: state in AZURE_CONFIG_DIR, and a record of how it was called."""
import datetime, json, os, pathlib, sys, time
home = pathlib.Path(os.environ["AZURE_CONFIG_DIR"])
call = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}
with open(home / "calls.jsonl", "a", encoding="utf-8") as calls:
    calls.write(json.dumps(call) + "\\n")
plan = json.loads((home / "plan.json").read_text(encoding="utf-8"))
time.sleep(plan.get("seconds", 0))
if "error" in plan:
    print("ERROR:", plan["error"], file=sys.stderr)
    sys.exit(1)
if "output" in plan:
    print(plan["output"])
    sys.exit(0)
print("WARNING: a word of az on its error stream", file=sys.stderr)
end = int(time.time()) + 3600
local = datetime.datetime.fromtimestamp(end).strftime("%Y-%m-%d %H:%M:%S.%f")
answer = {{"accessToken": plan["token"], "expiresOn": local, "expires_on": end, "subscription": "{tenant}"}}
print(json.dumps({{**answer, "tenant": "{tenant}", "tokenType": "Bearer"}}, indent=2))
'''


class Az:
    """An `az` in a folder of its own, for PATH; on Windows it is az.cmd, as the real one."""

    def __init__(self, folder: Path, **plan: Any) -> None:
        self.home = folder / ".azure"
        self.bin = folder / "azure-cli"
        self.home.mkdir(parents=True)
        self.bin.mkdir()
        program = self.bin / "az"
        program.write_text(_AZ.format(python=sys.executable, tenant=TENANT), encoding="utf-8")
        program.chmod(0o755)
        (self.bin / "az.cmd").write_text(f'@"{sys.executable}" -I "%~dp0az" %*\n', encoding="utf-8")
        self.plan(**plan)

    def plan(self, **plan: Any) -> None:
        """What it does from now on: `token`, or `error` (its last words), or another `output`; after `seconds`."""
        (self.home / "plan.json").write_text(json.dumps(plan), encoding="utf-8")

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Each call: arguments, environment, working folder."""
        record = self.home / "calls.jsonl"
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return [json.loads(line) for line in lines]
