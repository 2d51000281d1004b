"""Proxies with a login, over TLS, without a scheme, unusable or hostile; and what is reached without them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from kspsign.model.network_options import NetworkOptions
from kspsign.settings.network import network_options
from support.digicert_one.access import Access
from support.network.channels import CHANNELS, Channel
from support.network.faults import answering, drip, drip_header, endless_continue, hang_up, silence
from support.network.listener import Listener, Serve
from support.network.proxy import LOGIN, PASSWORD, Proxy

DEAD = "http://127.0.0.1:9"
every_channel = pytest.mark.parametrize("channel", CHANNELS, indirect=True)


def through(proxy: str, channel: Channel | None = None, *, ca_file: Path | None = None, **more: str) -> NetworkOptions:
    """The options of a step whose variables name that proxy."""
    variables = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, **more}
    trusted = ca_file or (channel.ca_file if channel is not None else None)
    return network_options({name: SecretStr(value) for name, value in variables.items()}, trusted)


@every_channel
def test_a_login_is_used_and_shown_to_nobody(channel: Channel) -> None:
    with Proxy(login=True) as proxy:
        assert channel.ask(channel.url, through(f"http://{LOGIN}@127.0.0.1:{proxy.port}", channel)) is None
        assert proxy.lines
        wrong = channel.ask(channel.url, through(f"http://agent:wr0ng-pass@127.0.0.1:{proxy.port}", channel))
        none = channel.ask(channel.url, through(proxy.url, channel))
    assert wrong is not None
    assert none is not None
    assert "wr0ng-pass" not in wrong.text


@every_channel
def test_without_a_scheme_it_is_http(channel: Channel) -> None:
    with Proxy(login=True) as proxy:
        assert channel.ask(channel.url, through(f"{LOGIN}@127.0.0.1:{proxy.port}", channel)) is None
        assert proxy.lines


@every_channel
def test_the_way_to_it_may_be_tls(channel: Channel, access: Access, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    own = b"" if channel.ca_file is None else channel.ca_file.read_bytes()
    both.write_bytes(access.ca_file.read_bytes() + own)
    with Proxy(login=True, context=access.context()) as proxy:
        place = f"https://{LOGIN}@localhost:{proxy.port}"
        assert channel.ask(channel.url, through(place, ca_file=both)) is None
        assert proxy.lines
        assert channel.ask(channel.url, through(place, channel)) is not None, "its CA is not trusted"


@every_channel
@pytest.mark.parametrize(
    "direct", ["127.0.0.0/8, localhost", "127.0.0.1 .localhost", "*", "::1/128,127.0.0.1,localhost"]
)
def test_what_no_proxy_names_is_reached_directly(channel: Channel, direct: str) -> None:
    assert channel.ask(channel.url, through(DEAD, channel, NO_PROXY=direct)) is None


@every_channel
@pytest.mark.parametrize("direct", ["10.0.0.0/8", "127.0.0.1/32x,example.com", "localhost.example.com"])
def test_what_it_does_not_name_is_not(channel: Channel, direct: str) -> None:
    said = channel.ask(channel.url, through(DEAD, channel, NO_PROXY=direct)._replace(deadline=2.0))
    assert said is not None
    assert said.code == channel.code


@every_channel
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("socks5://user:s3cret-pw@127.0.0.1:1080", "SOCKS"),
        ("socks5h://127.0.0.1:1080", "SOCKS"),
        ("ftp://user:s3cret-pw@127.0.0.1:1080", "'ftp'"),
        ("http://user:s3cret-pw@:8080", "does not name a host"),
        ("http://user:s3cret-pw@proxy:port", "not a URL"),
        ("http://user:s3cret-pw@[::1", "not a URL"),
        ("http://user:s3cret-pw@proxy:99999", "not a URL"),
    ],
)
def test_an_unusable_one_is_a_clear_error(channel: Channel, given: str, reason: str) -> None:
    said = channel.ask(channel.url, through(given, channel))
    assert said is not None
    assert said.code == "PROXY_UNUSABLE"
    assert reason in said.text
    assert "HTTP_PROXY" in said.text
    assert "s3cret-pw" not in said.text


@pytest.mark.parametrize(
    "fault",
    [
        drip,
        drip_header,
        endless_continue,
        silence,
        hang_up,
        answering(502),
        answering(302, "Location: http://127.0.0.1:9/"),
    ],
    ids=["drip", "drip-header", "continue", "silence", "hang-up", "502", "302"],
)
@every_channel
def test_a_hostile_one_is_left_in_time(channel: Channel, fault: Serve) -> None:
    with Listener(fault) as hostile:
        said = channel.ask(channel.url, through(hostile.url, channel)._replace(deadline=0.35))
    assert said is not None
    assert hostile.connections > 0


@pytest.mark.parametrize("channel", ["keylocker"], indirect=True)
def test_a_tunnel_hides_what_it_carries(channel: Channel) -> None:
    with Proxy(login=True) as proxy:
        place = f"http://{LOGIN}@127.0.0.1:{proxy.port}"
        assert channel.ask(channel.url, through(place, channel)) is None
    assert {line.split(" ")[0] for line in proxy.lines} == {"CONNECT"}
    assert b"api-key" not in bytes(proxy.seen).lower()
    assert PASSWORD.encode() not in proxy.seen
