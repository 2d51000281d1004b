"""The client for Azure DevOps against a server that throttles, breaks off, redirects or wants a sign-in."""

from __future__ import annotations

import contextlib
import email.utils
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from azure.devops.connection import Connection
from msrest.authentication import BasicTokenAuthentication
from pydantic import SecretStr

from kspsign.azure_devops import VERDICT_TYPE, AzureDevOps, PublishedResult, TestRunPlan, open_client
from kspsign.azure_devops.transport import ATTEMPTS, LONGEST_PAUSE, origin
from kspsign.model.errors import CancelledError, ConfigurationError, PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from support.azure_devops.server import ENTRA_TOKEN, PERSONAL_TOKEN, TOKEN, AzureServer, Fault
from support.azure_devops.state import PROJECT, guid
from support.https_server import serve

PLAN = TestRunPlan("Signature verification", 4711, "2026-01-31T12:00:00Z", None, None)


@pytest.fixture
def azure() -> Iterator[AzureServer]:
    """The server with one build."""
    with AzureServer() as server:
        server.organisation.add_build()
        yield server


class Pauses(list[float]):
    """Takes the pauses down instead of waiting."""

    cancel = False

    def take(self, seconds: float) -> bool:
        """One pause; whether the run was cancelled meanwhile."""
        self.append(seconds)
        return self.cancel


@pytest.fixture
def pauses() -> Pauses:
    """The pauses that the client took."""
    return Pauses()


@pytest.fixture
def client(azure: AzureServer, pauses: Pauses, tmp_path: Path) -> Iterator[AzureDevOps]:
    """The client with the good token."""
    with contextlib.closing(opened(azure.url, tmp_path, pauses)) as client:
        yield client


def opened(url: str, folder: Path, pauses: Pauses, token: str = TOKEN) -> AzureDevOps:
    return open_client(url, PROJECT, SecretStr(token), network=NetworkOptions(), temp_folder=folder, pause=pauses.take)


def failed(client: AzureDevOps) -> PrerequisiteError:
    """How asking for a build fails."""
    with contextlib.closing(client), pytest.raises(PrerequisiteError) as caught:
        client.build(4711)
    assert TOKEN not in str(caught.value)
    return caught.value


class TestRetries:
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_obeyed(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses, status: int) -> None:
        azure.faults.append(Fault("status", status, (("Retry-After", "7"),)))
        assert client.build(4711).id == 4711
        assert pauses == [7.0]

    def test_retry_after_may_be_a_date(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses) -> None:
        later = email.utils.formatdate(time.time() + 1000, usegmt=True)
        azure.faults.append(Fault("status", 503, (("Retry-After", later),)))
        client.build(4711)
        assert pauses == [LONGEST_PAUSE]

    def test_retry_after_may_be_nonsense(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses) -> None:
        azure.faults.append(Fault("status", 503, (("Retry-After", "soon"),)))
        client.build(4711)
        assert 0 < pauses[0] < 2

    @pytest.mark.parametrize("fault", [Fault("status", 503, path="/builds"), Fault("drop", path="/builds")], ids=str)
    def test_tries_are_bounded(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses, fault: Fault) -> None:
        azure.faults.extend([fault] * 20)
        assert failed(client).code in {"AZURE_DEVOPS_BUSY", "AZURE_DEVOPS_UNREACHABLE"}
        assert len([path for path in azure.paths("GET") if path.endswith("/4711")]) == ATTEMPTS
        assert len(pauses) == ATTEMPTS - 1

    def test_what_may_have_been_done_is_not_done_twice(
        self, azure: AzureServer, client: AzureDevOps, pauses: Pauses
    ) -> None:
        azure.faults.append(Fault("status", 503, path="/Runs"))
        with pytest.raises(PrerequisiteError, match="HTTP 503"):
            client.create_run(PLAN)
        azure.faults.append(Fault("drop", path="/Runs"))
        with pytest.raises(PrerequisiteError, match="no answer"):
            client.create_run(PLAN)
        assert (azure.organisation.runs, pauses) == ({}, [])

    def test_what_was_turned_away_is_sent_again(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses) -> None:
        azure.faults.append(Fault("status", 429, (("Retry-After", "3"),), path="/Runs"))
        assert client.create_run(PLAN) in azure.organisation.runs
        assert pauses == [3.0]

    def test_a_cancelled_run_ends_in_a_pause(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses) -> None:
        pauses.cancel = True
        azure.faults.append(Fault("status", 503))
        with pytest.raises(CancelledError):
            client.build(4711)

    def test_a_slow_answer_is_waited_for(self, azure: AzureServer, client: AzureDevOps, pauses: Pauses) -> None:
        azure.faults.append(Fault("slow", seconds=0.2))
        assert client.build(4711).id == 4711
        assert pauses == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault("status", 401), "AZURE_DEVOPS_SIGN_IN"),
            (Fault("html", 203), "AZURE_DEVOPS_SIGN_IN"),
            (Fault("html", 200), "AZURE_DEVOPS_SIGN_IN"),
            (Fault("html", 302, (("Location", "https://example.org/_signin"),)), "AZURE_DEVOPS_SIGN_IN"),
            (Fault("status", 302, (("Location", "https://example.org/"),), path="/builds"), "AZURE_DEVOPS_SIGN_IN"),
            (Fault("status", 403), "AZURE_DEVOPS_FORBIDDEN"),
            (Fault("status", 400, path="/builds"), "AZURE_DEVOPS_REFUSED"),
            (Fault("status", 200), "AZURE_DEVOPS_UNEXPECTED"),
            (Fault("status", 200, path="/builds"), "AZURE_DEVOPS_UNEXPECTED"),
            (Fault("cut"), "AZURE_DEVOPS_UNREACHABLE"),
            (Fault("cut", path="/builds"), "AZURE_DEVOPS_UNREACHABLE"),
        ],
        ids=str,
    )
    def test_each_has_its_code(self, azure: AzureServer, client: AzureDevOps, fault: Fault, code: str) -> None:
        azure.faults.append(fault)
        assert failed(client).code == code

    def test_the_servers_words_are_told(self, client: AzureDevOps) -> None:
        with pytest.raises(PrerequisiteError, match="The requested build 9 could not be found"):
            client.build(9)

    def test_a_token_that_is_not_good(self, azure: AzureServer, pauses: Pauses, tmp_path: Path) -> None:
        assert failed(opened(azure.url, tmp_path, pauses, "expired")).code == "AZURE_DEVOPS_SIGN_IN"

    @pytest.mark.parametrize("token", ["a\nb", "Bearer abc", "a\u200eb", "a\r"])
    def test_a_token_that_no_header_can_carry(
        self, token: str, azure: AzureServer, pauses: Pauses, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigurationError, match="line break") as refused:
            opened(azure.url, tmp_path, pauses, token).build(4711)
        assert token not in f"{refused.value}{refused.value.remedy}"
        assert azure.seen == []

    def test_a_private_ca_is_what_is_missing(self, pauses: Pauses, tmp_path: Path) -> None:
        with serve(tmp_path / "server.pem", b"") as url:
            error = failed(opened(url, tmp_path, pauses))
        assert error.code == "AZURE_DEVOPS_UNREACHABLE"
        assert "--ca-file" in error.remedy
        assert "certificate" in error.message

    def test_nobody_listens(self, pauses: Pauses, tmp_path: Path) -> None:
        with AzureServer() as gone:
            url = gone.url
        assert failed(opened(url, tmp_path, pauses)).code == "AZURE_DEVOPS_UNREACHABLE"

    def test_a_collection_that_is_none(self, azure: AzureServer, pauses: Pauses, tmp_path: Path) -> None:
        assert failed(opened(f"{azure.url}/deeper", tmp_path, pauses)).code == "AZURE_DEVOPS_NOT_FOUND"

    @pytest.mark.parametrize("url", ["", "Contoso", "ftp://example.org/x", "https://u:p@example.org/x", "http://[/"])
    def test_an_address_that_no_token_may_go_to(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            origin(url)
        assert "u:p" not in refused.value.message

    def test_an_attachment_whose_address_names_no_step(self, azure: AzureServer, client: AzureDevOps) -> None:
        build = azure.organisation.builds[4711]
        build.attach({"id": "no-guid"}, VERDICT_TYPE, "verdict.json", b"{}")
        with pytest.raises(PrerequisiteError, match="names no timeline record"):
            client.attachments(4711, VERDICT_TYPE)

    def test_fewer_results_than_were_sent(self, client: AzureDevOps, azure: AzureServer) -> None:
        run = client.create_run(PLAN)
        azure.organisation.runs[run].state = "Completed"
        with pytest.raises(PrerequisiteError, match=r"HTTP 400 .*results go to a run in progress"):
            client.add_results(run, [PublishedResult("a.exe", "kspsign.pe", "Passed", 0.1, "", "")])


class TestToken:
    def test_a_netrc_entry_for_the_host_replaces_nothing(
        self, azure: AzureServer, client: AzureDevOps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        client.build(4711)
        assert {request.authorization for request in azure.seen} == {f"Bearer {TOKEN}"}

    def test_it_is_in_no_log(self, client: AzureDevOps, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("DEBUG"):
            client.build(4711)
        assert "builds/4711" in caplog.text
        assert TOKEN not in caplog.text

    def test_it_goes_to_no_other_host(self, pauses: Pauses, tmp_path: Path) -> None:
        """A table of places that leads elsewhere: routes are filled in as they stand."""
        with AzureServer() as other, AzureServer() as leading:
            leading.elsewhere = other.url
            leading.organisation.add_build()
            assert failed(opened(leading.url, tmp_path, pauses)).code == "AZURE_DEVOPS_FOREIGN_HOST"
            assert other.seen == []


@pytest.mark.parametrize("token", [TOKEN, ENTRA_TOKEN, PERSONAL_TOKEN], ids=["job", "entra", "personal"])
def test_each_kind_of_token_is_sent_as_the_service_takes_it(
    azure: AzureServer, pauses: Pauses, tmp_path: Path, token: str
) -> None:
    with contextlib.closing(opened(azure.url, tmp_path, pauses, token)) as client:
        assert client.build(4711).id == 4711


@pytest.mark.parametrize(
    ("token", "good"), [(TOKEN, 200), (ENTRA_TOKEN, 200), (PERSONAL_TOKEN, 401)], ids=["job", "entra", "personal"]
)
def test_the_server_takes_no_personal_access_token_as_bearer(azure: AzureServer, token: str, good: int) -> None:
    asked = f"{azure.url}/{PROJECT}/_apis/build/builds/4711?api-version=7.1"
    assert requests.get(asked, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == good


def test_many_results_go_in_several_calls(azure: AzureServer, client: AzureDevOps) -> None:
    run = client.create_run(PLAN)
    results = [PublishedResult(f"{number}.exe", "kspsign.pe", "Passed", 0.1, "", "") for number in range(450)]
    numbers = client.add_results(run, results)
    held = azure.organisation.runs[run].results
    assert [case["testCaseTitle"] for case in held] == [result.title for result in results]
    assert numbers == tuple(case["id"] for case in held)
    assert len([path for path in azure.paths("POST") if path.endswith("/Results")]) == 3


def test_names_are_encoded(azure: AzureServer, client: AzureDevOps) -> None:
    build = azure.organisation.builds[4711]
    build.attach({"id": guid()}, VERDICT_TYPE, "a b#c%2F.json", b"{}")
    (ref,) = client.attachments(4711, VERDICT_TYPE)
    assert client.attachment(4711, ref) == b"{}"
    client.add_tag(4711, "a/b c")
    assert build.tags == ["a/b c"]


class TestTheServer:
    """That it answers as the real client expects, where our own client asks less."""

    def test_the_packages_own_connection(self, azure: AzureServer) -> None:
        connection = Connection(azure.url, BasicTokenAuthentication({"access_token": TOKEN}))
        assert connection.clients_v7_1.get_build_client().get_build(PROJECT, 4711).id == 4711
        assert "/Contoso/_apis/ResourceAreas" in azure.paths("GET")

    def test_an_oidc_token(self, azure: AzureServer) -> None:
        azure.organisation.connections.add("c-1")
        connection = Connection(azure.url, BasicTokenAuthentication({"access_token": TOKEN}))
        made = connection.clients_v7_1.get_task_client().create_oidc_token(
            {}, guid(), "build", guid(), guid(), service_connection_id="c-1"
        )
        assert azure.organisation.oidc_tokens == {made.oidc_token}


def test_clients_of_several_threads_do_not_disturb_each_other(azure: AzureServer, tmp_path: Path) -> None:
    seen: list[int] = []

    def ask() -> None:
        with contextlib.closing(opened(azure.url, tmp_path, Pauses())) as client:
            seen.append(client.build(4711).id)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [4711] * 4
