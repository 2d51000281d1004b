"""A server behind a private CA: refused without --ca-file, and answered with it, whoever asks."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from kspsign.model.network_options import NetworkOptions
from kspsign.settings.network import network_options
from support.digicert_one.access import Access
from support.network.channels import CHANNELS, Channel
from support.network.proxy import tls_front

every_channel = pytest.mark.parametrize("channel", CHANNELS, indirect=True)
plain_channels = pytest.mark.parametrize("channel", [name for name in CHANNELS if name != "keylocker"], indirect=True)


@plain_channels
@pytest.mark.parametrize("named", ["--ca-file", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AGENT_CAINFO"])
def test_one_setting_makes_it_trusted(channel: Channel, access: Access, named: str) -> None:
    variables = {} if named == "--ca-file" else {named: SecretStr(str(access.ca_file))}
    options = network_options(variables, access.ca_file if named == "--ca-file" else None)
    with tls_front(channel.port, access.context()) as front:
        assert channel.ask(front.url, options) is None
        assert front.connections > 0


@every_channel
def test_without_it_nothing_is_asked(channel: Channel, access: Access) -> None:
    with tls_front(channel.port, access.context()) as front:
        said = channel.ask(front.url, NetworkOptions(deadline=5.0))
    assert said is not None
    assert said.code in {channel.code, "KEYLOCKER_TLS"}
