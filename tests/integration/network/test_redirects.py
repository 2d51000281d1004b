"""Redirects: followed where no secret is at stake, never from https to http, never with a login to another host."""

from __future__ import annotations

import socket
from base64 import b64encode

import pytest

from kspsign.model.network_options import NetworkOptions
from kspsign.settings.network import network_options
from support.digicert_one.access import Access
from support.network.channels import CHANNELS, FOLLOWING, Channel
from support.network.faults import answering
from support.network.listener import Listener, Serve, header, read_request, relay

following = pytest.mark.parametrize("channel", FOLLOWING, indirect=True)
not_following = pytest.mark.parametrize("channel", [name for name in CHANNELS if name not in FOLLOWING], indirect=True)


def redirecting(url: str, status: int = 307) -> Serve:
    """Leads every request to the same path below `url`."""

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            path = request.split(b" ")[1].decode()
            head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {url.rstrip('/')}{path}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())

    return serve


@following
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_it_is_followed(channel: Channel, status: int) -> None:
    with Listener(redirecting(channel.url, status)) as first:
        assert channel.ask(first.url, NetworkOptions()) is None
        assert first.connections > 0


@following
@pytest.mark.parametrize("status", [300, 303, 304, 305])
def test_what_is_no_such_redirect_is_not(channel: Channel, status: int) -> None:
    with Listener(redirecting(channel.url, status)) as first:
        said = channel.ask(first.url, NetworkOptions())
    assert said is not None
    assert said.code == channel.code
    assert f"HTTP {status}" in said.text


@following
def test_it_may_lead_from_http_to_https(channel: Channel, access: Access) -> None:
    def front(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", channel.port), timeout=20) as server:
            relay(connection, server)

    with Listener(front, access.context()) as secure, Listener(redirecting(secure.url)) as first:
        assert channel.ask(first.url, network_options({}, access.ca_file)) is None
        assert secure.connections > 0


@following
def test_it_does_not_lead_from_https_to_http(channel: Channel, access: Access) -> None:
    with Listener(redirecting(channel.url), access.context()) as secure:
        said = channel.ask(secure.url, network_options({}, access.ca_file))
    assert said is not None
    assert said.code == channel.code
    assert f"a redirect to {channel.url.rstrip('/')}" in said.text
    assert "is not followed" in said.text


@following
@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "//[::1", "http://127.0.0.1:no/"])
def test_it_leads_nowhere_else(channel: Channel, location: str) -> None:
    with Listener(answering(302, f"Location: {location}")) as first:
        said = channel.ask(first.url, NetworkOptions())
    assert said is not None
    assert said.code == channel.code


@following
def test_a_circle_ends(channel: Channel) -> None:
    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            path = request.split(b" ")[1].decode()
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n".encode())

    with Listener(serve) as first:
        said = channel.ask(first.url, NetworkOptions())
    assert said is not None
    assert "redirects" in said.text


@following
def test_another_host_gets_no_login(channel: Channel) -> None:
    """Neither the one of the first URL nor one that the redirect names."""
    seen: list[str | None] = []

    def spy(connection: socket.socket) -> None:
        request = read_request(connection)
        seen.append(header(request.partition(b"\r\n\r\n")[0], "authorization"))
        with socket.create_connection(("127.0.0.1", channel.port), timeout=20) as server:
            server.sendall(request)
            relay(connection, server)

    with Listener(spy) as second:
        target = second.url.replace("http://", "http://other:tempting@")
        with Listener(redirecting(target)) as first:
            assert channel.ask(first.url.replace("http://", "http://user:pw@"), NetworkOptions()) is None
    assert set(seen) == {None}


@following
def test_the_same_host_keeps_it(channel: Channel) -> None:
    seen: list[str | None] = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            head = request.partition(b"\r\n\r\n")[0]
            seen.append(header(head, "authorization"))
            path = head.split(b" ")[1].decode()
            if not path.startswith("/moved"):
                moved = f"HTTP/1.1 308 Moved\r\nLocation: /moved{path}\r\nContent-Length: 0\r\n\r\n"
                connection.sendall(moved.encode())
                continue
            with socket.create_connection(("127.0.0.1", channel.port), timeout=20) as server:
                server.sendall(request.replace(b"/moved", b"", 1))
                relay(connection, server)
            return

    with Listener(serve) as first:
        assert channel.ask(first.url.replace("http://", "http://user:pw@"), NetworkOptions()) is None
    assert set(seen) == {"Basic " + b64encode(b"user:pw").decode()}


@not_following
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_secret_is_not_taken_along(channel: Channel, status: int) -> None:
    """Key stores and Azure DevOps are asked with secrets: their redirects are answers, and bad ones."""
    with Listener(answering(200)) as other:
        first = Listener(redirecting(other.url, status), channel.context)
        options = NetworkOptions() if channel.ca_file is None else network_options({}, channel.ca_file)
        with first:
            said = channel.ask(first.url, options)
    assert said is not None
    assert other.connections == 0
