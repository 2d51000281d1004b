"""A password in a URL or in a proxy's: used, and in no log, no report and no error."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from kspsign.model.network_options import NetworkOptions
from support.network.channels import FOLLOWING, Channel
from support.network.faults import drip
from support.network.listener import Listener
from support.network.proxy import LOGIN, PASSWORD, USER, Proxy, wanting_login
from support.samples import Run, copy_launcher, kspsign
from support.signing import Publisher

WRONG = "n0t-it"
following = pytest.mark.parametrize("channel", FOLLOWING, indirect=True)


def with_login(url: str, login: str) -> str:
    return url.replace("://", f"://{login}@")


@following
def test_it_is_used_and_shown_to_nobody(channel: Channel) -> None:
    with wanting_login(channel.port, USER, PASSWORD) as server:
        assert channel.ask(with_login(server.url, LOGIN), NetworkOptions()) is None
        said = channel.ask(with_login(server.url, f"{USER}:{WRONG}"), NetworkOptions())
    assert said is not None
    assert "HTTP 401" in said.text
    assert WRONG not in said.text
    assert server.url.removeprefix("http://") in said.text, "the server itself is named"


@following
def test_a_time_out_does_not_show_it(channel: Channel) -> None:
    with Listener(drip) as server:
        said = channel.ask(with_login(server.url, f"{USER}:{WRONG}"), NetworkOptions(deadline=0.35))
    assert said is not None
    assert WRONG not in said.text


@pytest.mark.parametrize("channel", ["keylocker", "gate"], indirect=True)
def test_where_a_url_takes_no_login_it_is_refused_and_not_shown(channel: Channel) -> None:
    said = channel.ask(with_login(channel.url, f"{USER}:{WRONG}"), NetworkOptions())
    assert said is not None
    assert said.code in {"KEYLOCKER_HOST", "CONFIGURATION"}
    assert WRONG not in said.text


def sign(publisher: Publisher, folder: Path, url: str) -> Run:
    path = copy_launcher(folder)
    reports = ("--junit", folder / "junit.xml", "--summary", folder / "summary.md", "--verbose")
    return kspsign(
        *("sign", path, *publisher.file.options, "--timestamp-url", url, "--trust-root", publisher.roots, *reports),
        folder=folder,
    )


def everything(run: Run, folder: Path) -> bytes:
    """All that a run leaves to read."""
    written = [path.read_bytes() for path in folder.rglob("*") if path.suffix in {".json", ".xml", ".md"}]
    assert len(written) == 3
    return b"\n".join((run.text.encode(), *written))


@pytest.mark.parametrize("right", [True, False])
def test_no_log_and_no_report_holds_the_one_of_a_timestamp_server(
    publisher: Publisher, tmp_path: Path, right: bool
) -> None:
    port = int(publisher.timestamp_url.rstrip("/").rpartition(":")[2])
    with wanting_login(port, USER, PASSWORD) as server:
        run = sign(publisher, tmp_path, with_login(server.url, LOGIN if right else f"{USER}:{WRONG}"))
    assert (run.code == 0) is right, run.text
    shown = everything(run, tmp_path)
    for secret in (PASSWORD, LOGIN.partition(":")[2], WRONG, quote(PASSWORD)):
        assert secret.encode() not in shown
    assert server.url.encode() in shown


@pytest.mark.parametrize("right", [True, False])
def test_nor_the_one_of_a_proxy(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    with Proxy(login=True) as proxy:
        login = LOGIN if right else f"{USER}:{WRONG}"
        monkeypatch.setenv("HTTP_PROXY", f"http://{login}@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        run = sign(publisher, tmp_path, publisher.timestamp_url)
    assert (run.code == 0) is right, run.text
    assert proxy.lines
    shown = everything(run, tmp_path)
    for secret in (PASSWORD, LOGIN.partition(":")[2], WRONG):
        assert secret.encode() not in shown
