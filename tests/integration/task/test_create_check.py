"""tools/create_check.py against a server on loopback, and the decisions of the checks that it creates."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support.azure_devops.server import ENTRA_TOKEN
from support.gate.chain import Reply, run_chain
from support.gate.shapes import BUILD, COLLECTION, PROJECT, SCRIPT_TASK, SIGN_RECORD, SIGN_TASK, Server, record
from support.loopback import LoopbackServer, SilentHandler
from support.places import ROOT

SCRIPT = ROOT / "tools" / "create_check.py"
NAMES = (
    "kspsign: the signing step succeeded",
    "kspsign: one verdict for the build",
    "kspsign: no test signing",
)
CONNECTION = ("--connection", "5fe0c8f0-0000-4000-8000-000000000001")


class Service(LoopbackServer):
    """The two resources that the script asks for; `requests` is what arrived."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.configurations: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.refusal: tuple[int, str] | None = None

    @property
    def collection(self) -> str:
        return f"{self.url}/contoso"


class _Handler(SilentHandler):
    protocol_version = "HTTP/1.0"
    server: Service

    def do_GET(self) -> None:
        url = self._arrived()
        if url.path == "/contoso/My%20Apps/_apis/distributedtask/environments":
            names = parse_qs(url.query)["name"]
            self._answer(
                {"value": [{"id": 7, "name": name} for name in ("production", "Production") if names == ["production"]]}
            )
        elif parse_qs(url.query)["resourceId"] == ["7"]:
            self._answer({"value": self.server.configurations})

    def do_POST(self) -> None:
        self._arrived()
        check = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.configurations.append(check)
        self._answer({**check, "id": 40 + len(self.server.configurations)})

    def _arrived(self) -> Any:
        url = urlsplit(self.path)
        self.server.requests.append((self.command, url.path, dict(self.headers)))
        assert parse_qs(url.query)["api-version"] == ["7.1-preview.1"]
        return url

    def _answer(self, document: Any) -> None:
        status, text = self.server.refusal or (200, json.dumps(document))
        self.send_response(status)
        self.send_header("Location", "https://login.example.com/")
        self.end_headers()
        self.wfile.write(text.encode("utf-8"))


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        yield server


def run(service: Service, *options: str, token: str = "secret-token") -> subprocess.CompletedProcess[str]:  # noqa: S107
    given = ["--collection", service.collection, "--project", "My Apps", "--environment", "production", *options]
    environment = {**os.environ, "AZURE_DEVOPS_TOKEN": token, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-I", str(SCRIPT), *given]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)


def test_three_checks_are_created_once(service: Service) -> None:
    first = run(service, *CONNECTION)
    assert first.returncode == 0, first.stderr
    assert [configuration["settings"]["displayName"] for configuration in service.configurations] == list(NAMES)
    for check in service.configurations:
        assert check["resource"] == {"type": "environment", "id": "7", "name": "production"}
        assert check["settings"]["inputs"]["connectedServiceNameAzureDevOps"] == CONNECTION[1]
        assert check["timeout"] / check["settings"]["retryInterval"] <= 10
        assert "Authorization" not in check["settings"]["inputs"]["headers"]
    second = run(service, *CONNECTION)
    assert second.stdout.count("there already: ") == 3
    assert len(service.configurations) == 3
    basic = base64.b64encode(b":secret-token").decode("ascii")
    assert {headers["Authorization"] for _verb, _path, headers in service.requests} == {f"Basic {basic}"}
    assert "secret-token" not in first.stdout + first.stderr + second.stdout


def test_a_token_of_entra_goes_as_bearer(service: Service) -> None:
    assert run(service, *CONNECTION, token=ENTRA_TOKEN).returncode == 0
    assert {headers["Authorization"] for _verb, _path, headers in service.requests} == {f"Bearer {ENTRA_TOKEN}"}


def test_the_required_template_is_created_once(service: Service) -> None:
    template = ("--template", "Apps/pipelines", "refs/heads/main", "signed-release.yml")
    assert run(service, *template).returncode == 0
    assert "there already: required template signed-release.yml" in run(service, *template).stdout
    (check,) = service.configurations
    assert check["type"]["name"] == "ExtendsCheck"
    assert check["settings"]["extendsChecks"][0]["repositoryRef"] == "refs/heads/main"


def test_a_generic_connection_gets_the_jobs_token(service: Service) -> None:
    assert run(service, *CONNECTION, "--generic", "--allow-test-signing").returncode == 0
    assert len(service.configurations) == 2
    inputs = service.configurations[0]["settings"]["inputs"]
    assert json.loads(inputs["headers"])["Authorization"] == "Bearer $(system.AccessToken)"
    assert inputs[inputs["connectedServiceNameSelector"]] == CONNECTION[1]


def test_print_sends_nothing(service: Service) -> None:
    printed = run(service, *CONNECTION, "--print")
    assert [configuration["settings"]["displayName"] for configuration in json.loads(printed.stdout)] == list(NAMES)
    assert service.requests == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((401, ""), "check the token"),
        ((302, ""), "check the token"),
        ((203, "<html>Sign in</html>"), "sign-in page"),
        ((200, json.dumps({"value": []})), "no environment production"),
    ],
)
def test_a_refusal_is_told_with_its_remedy(service: Service, refusal: tuple[int, str], words: str) -> None:
    service.refusal = refusal
    refused = run(service, *CONNECTION)
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "secret-token" not in refused.stderr
    assert service.configurations == []


def test_the_token_goes_over_https_only(service: Service) -> None:
    refused = run(service, *CONNECTION, "--collection", "http://dev.example.com/contoso")
    assert "https only" in refused.stderr
    assert "AZURE_DEVOPS_TOKEN" in run(service, *CONNECTION, token="").stderr


@functools.cache
def printed_checks() -> list[dict[str, Any]]:
    command = [sys.executable, "-I", str(SCRIPT), "--print", "--collection", "c", "--project", "p"]
    printed = subprocess.run([*command, "--environment", "e", *CONNECTION], capture_output=True, text=True, check=True)
    return list(json.loads(printed.stdout))


def decide(server: Server, number: int) -> bool:
    """What the check with this number says of a build, as Azure DevOps evaluates it."""
    inputs = printed_checks()[number]["settings"]["inputs"]
    request = {
        "EndpointUrl": COLLECTION + inputs["urlSuffix"],
        "Headers": inputs["headers"],
        "Expression": inputs["successCriteria"],
    }
    check = {"inputs": [], "execution": {"HttpRequestChain": {"Execute": [{"RequestInputs": request}]}}}
    variables = {"System.TeamProjectId": PROJECT, "Build.BuildId": BUILD}
    return run_chain(check, {}, variables, server.ask).refused_by is None


def runs(*names: str) -> Server:
    document = {"value": [{"id": number, "name": name} for number, name in enumerate(names)]}
    return Server(replies={"/test/runs?": Reply(HTTPStatus.OK, json.dumps(document))})


@pytest.mark.parametrize(
    ("number", "server", "passes"),
    [
        (0, Server(), True),
        (0, Server(records=[]), False),
        (0, Server(records=[record(SIGN_RECORD, SCRIPT_TASK, "succeeded")]), False),
        (0, Server(records=[record(SIGN_RECORD, SIGN_TASK, "succeededWithIssues")]), False),
        (0, Server(records=[record("0", SIGN_TASK, "succeeded"), record("1", SIGN_TASK, None)]), False),
        (1, Server(), True),
        (1, Server(attachments=[]), False),
        (1, Server(attachments=Server().attachments * 2), False),
        (2, runs("Unit tests", "Signature verification"), True),
        (2, runs("Unit tests"), False),
        (2, runs("Signature verification", "Signature verification (TEST SIGNING)"), False),
        (2, Server(), False),
    ],
)
def test_the_checks_are_closed_in_every_bad_case(number: int, server: Server, passes: bool) -> None:
    assert decide(server, number) is passes


def test_the_documented_check_is_the_one_that_is_sent() -> None:
    page = (ROOT / "docs" / "how-to" / "gates.md").read_text(encoding="utf-8")
    block = json.loads(page.partition("<!-- check -->\n```json\n")[2].partition("```")[0])
    sent = json.dumps(printed_checks()[0]).replace(CONNECTION[1], "CONNECTION-ID")
    assert block == json.loads(sent)
