"""Protects an environment of Azure Pipelines: checks that require signatures, or the required template.

    AZURE_DEVOPS_TOKEN=... python tools/create_check.py --collection https://dev.azure.com/contoso --project Apps \\
        --environment production --connection 5fe0...    # or: --template Apps/pipelines refs/heads/main signed.yml

A check that the environment has already (by its name) is left as it is. The token is one of Entra ID (`az account
get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798`) or a personal access token of the organisation; it
needs "Environment (read & manage)" and "Build (read)". --connection is the id of a service connection of the kind Azure
DevOps (or Generic, --generic) whose URL is the collection's, with a slash at its end. --print only shows what would be
sent. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
INVOKE_REST_API = {"id": "9c3e8943-130d-4c78-ac63-8af81df62dfb", "name": "InvokeRESTAPI", "version": "1.274.1"}
TASK_CHECK = {"id": "fe1de3ee-a436-41b4-bb20-f6eb4cb879a7", "name": "Task Check"}
EXTENDS_CHECK = {"id": "4020e66e-b0f3-47e1-bc88-48f3cc59b5f3", "name": "ExtendsCheck"}
JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
API_VERSION = "7.1-preview.1"
TIMEOUT_MINUTES, INTERVAL_MINUTES = 30, 5
SUITE = "Signature verification"
BUILD = "$(system.teamProjectId)/_apis/build/builds/$(build.buildId)"


def checks(task_id: str, *, allow_test_signing: bool) -> dict[str, tuple[str, str]]:
    """The path below the connection's URL, and criteria, of each check by its name. One request each: all must pass."""
    ours = f"@.task.id==''{task_id}''"
    runs = "$(system.teamProjectId)/_apis/test/runs?buildUri=vstfs:///Build/Build/$(build.buildId)&api-version=7.1"
    found = {
        "kspsign: the signing step succeeded": (
            f"{BUILD}/timeline?api-version=7.1",
            _some_and_none(
                f"records[?({ours} && @.result==''succeeded'')]", f"records[?({ours} && @.result!=''succeeded'')]"
            ),
        ),
        "kspsign: one verdict for the build": (
            f"{BUILD}/attachments/kspsign.verdict?api-version=7.1-preview.2",
            "and(eq(count(root['value']), 1), startsWith(root['value'][0]['name'], 'verdict-'))",
        ),
    }
    if not allow_test_signing:
        found["kspsign: no test signing"] = (
            runs,
            _some_and_none(f"value[?(@.name==''{SUITE}'')]", f"value[?(@.name==''{SUITE} (TEST SIGNING)'')]"),
        )
    return found


def _some_and_none(some: str, none: str) -> str:
    return f"and(ge(count(jsonpath('$.{some}.id')), 1), eq(count(jsonpath('$.{none}.id')), 0))"


def task_check(name: str, url: str, criteria: str, connection: str, *, generic: bool) -> dict[str, Any]:
    """The configuration of one Invoke REST API check, without its resource."""
    kind = "connectedServiceName" if generic else "connectedServiceNameAzureDevOps"
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if generic:
        headers["Authorization"] = "Bearer $(system.AccessToken)"
    inputs = {
        "connectedServiceNameSelector": kind,
        kind: connection,
        "method": "GET",
        "headers": json.dumps(headers),
        "body": "",
        "urlSuffix": url,
        "waitForCompletion": "false",
        "successCriteria": criteria,
    }
    settings = {
        "displayName": name,
        "definitionRef": INVOKE_REST_API,
        "inputs": inputs,
        "retryInterval": INTERVAL_MINUTES,
    }
    return {"type": TASK_CHECK, "settings": settings, "timeout": TIMEOUT_MINUTES}


def template_check(repository: str, ref: str, path: str) -> dict[str, Any]:
    """The configuration of the required template, without its resource."""
    template = {"repositoryType": "git", "repositoryName": repository, "repositoryRef": ref, "templatePath": path}
    return {"type": EXTENDS_CHECK, "settings": {"extendsChecks": [template]}}


class Service:
    """The REST API of one project."""

    def __init__(self, collection: str, project: str, token: str) -> None:
        parts = urllib.parse.urlsplit(collection)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
            sys.exit(f"{collection}: the token goes over https only")
        self._base = f"{collection.rstrip('/')}/{urllib.parse.quote(project)}/_apis"
        # A token of Entra ID (a JSON Web Token) goes as Bearer, a personal access token as the password of no user.
        basic = base64.b64encode(f":{token}".encode()).decode("ascii")
        self._authorization = f"Bearer {token}" if JSON_WEB_TOKEN.fullmatch(token) else f"Basic {basic}"

    def ask(self, path: str, query: dict[str, str], body: dict[str, Any] | None = None) -> Any:
        """The JSON that the service answers; the program ends where it refuses."""
        url = f"{self._base}/{path}?{urllib.parse.urlencode({**query, 'api-version': API_VERSION})}"
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "X-TFS-FedAuthRedirect": "Suppress",
        }
        request = urllib.request.Request(url, data, headers)  # noqa: S310 - the scheme was checked
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as refused:
            said = refused.read(2000).decode("utf-8", "replace")
            sys.exit(f"{url}\n  {refused.code} {refused.reason}: {said}\n  remedy:  check the token and its scopes.")
        except (urllib.error.URLError, TimeoutError) as unreachable:
            sys.exit(f"{url}\n  {unreachable}\n  remedy:  check --collection and the proxy.")
        except ValueError:
            sys.exit(f"{url}\n  not JSON, perhaps a sign-in page\n  remedy:  check --collection and the token.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect leads to a sign-in page, with our token."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def create(service: Service, environment: str, wanted: list[dict[str, Any]]) -> None:
    """Add each check that the environment lacks."""
    found = service.ask("distributedtask/environments", {"name": environment})["value"]
    ids = [item["id"] for item in found if item["name"] == environment]
    if len(ids) != 1:
        sys.exit(f"there is no environment {environment}\n  remedy:  create it, or correct --environment.")
    resource = {"type": "environment", "id": str(ids[0]), "name": environment}
    query: dict[str, str] = {"resourceType": "environment", "resourceId": resource["id"], "$expand": "settings"}
    present = [_name(existing) for existing in service.ask("pipelines/checks/configurations", query)["value"]]
    for check in wanted:
        if _name(check) in present:
            print(f"there already: {_name(check)}")
            continue
        made = service.ask("pipelines/checks/configurations", {}, {**check, "resource": resource})
        print(f"created {made['id']}: {_name(check)}")


def _name(check: dict[str, Any]) -> str:
    settings = check.get("settings") or {}
    if settings.get("extendsChecks"):
        template = settings["extendsChecks"][0]
        return f"required template {template['templatePath']} of {template['repositoryName']}"
    return str(settings.get("displayName", ""))


def main() -> None:
    """Parse, then create or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--collection", required=True, help="https://dev.azure.com/ORGANISATION")
    parser.add_argument("--project", required=True)
    parser.add_argument("--environment", required=True)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--connection", metavar="ID", help="service connection that the checks ask through")
    how.add_argument("--template", nargs=3, metavar=("PROJECT/REPOSITORY", "REF", "PATH"), help="required template")
    parser.add_argument("--generic", action="store_true", help="the connection is a generic one")
    parser.add_argument("--allow-test-signing", action="store_true", help="for trials")
    parser.add_argument("--print", action="store_true", help="show the JSON and send nothing")
    given = parser.parse_args()
    task_id = json.loads((ROOT / "task" / "KspSign" / "task.json").read_text(encoding="utf-8"))["id"]
    wanted = [template_check(*given.template)] if given.template else []
    if given.connection:
        asked = checks(task_id, allow_test_signing=given.allow_test_signing)
        wanted = [task_check(name, *inputs, given.connection, generic=given.generic) for name, inputs in asked.items()]
    if given.print:
        print(json.dumps(wanted, indent=2))
        return
    token = os.environ.get("AZURE_DEVOPS_TOKEN") or sys.exit(
        "set AZURE_DEVOPS_TOKEN to a token of Entra ID or a personal access token"
    )
    create(Service(given.collection, given.project, token), given.environment, wanted)


if __name__ == "__main__":
    main()
