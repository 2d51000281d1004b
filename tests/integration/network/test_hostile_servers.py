"""Servers that never come to an end of their answer: the question does, names the server, and the next one is asked."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.network_options import CaFile, NetworkOptions
from kspsign.model.values import DigestAlgorithm
from kspsign.settings.timestamp_limits import TimestampLimits
from kspsign.timestamping.client import TimestampClient
from support.network.channels import CHANNELS, Channel
from support.network.faults import drip, drip_header, endless_continue, endless_headers, hang_up, silence
from support.network.listener import Listener, Serve
from support.timestamping.server import Stamping

FAULTS = [drip, drip_header, endless_headers, endless_continue, silence, hang_up]
SLOWEST = 15.0
"""Seconds for all attempts of a question; a server that is not cut off takes 20 for one."""


def trusting(options: NetworkOptions, channel: Channel) -> NetworkOptions:
    """The options with the channel's own CA."""
    return options if channel.ca_file is None else options._replace(ca_file=CaFile(channel.ca_file, "--ca-file"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("channel", CHANNELS, indirect=True)
def test_it_is_left_in_time_and_named(channel: Channel, fault: Serve, short: NetworkOptions) -> None:
    with Listener(fault, channel.context) as server:
        started = time.monotonic()
        said = channel.ask(server.url, trusting(short, channel))
        seconds = time.monotonic() - started
    assert said is not None
    assert said.code == channel.code
    assert seconds < SLOWEST
    assert server.connections > 0
    if said.code != "AzureError":
        assert f":{server.port}" in said.text


@pytest.mark.parametrize("channel", CHANNELS, indirect=True)
def test_the_real_server_answers(channel: Channel) -> None:
    """The twin of them all."""
    assert channel.ask(channel.url, trusting(NetworkOptions(), channel)) is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_next_timestamp_server_takes_over(
    authority: EmbeddedAuthority, fault: Serve, short: NetworkOptions
) -> None:
    with Listener(fault) as hostile, Stamping(authority) as good:
        client = TimestampClient((hostile.url, good.url), TimestampLimits(4), threading.Event(), short)
        with contextlib.closing(client):
            started = time.monotonic()
            token = client.stamp(bytes(32), DigestAlgorithm.SHA256)
    assert token.server == good.url
    assert time.monotonic() - started < SLOWEST / 2
    assert [server.failures for server in client.facts] == [1, 0]
