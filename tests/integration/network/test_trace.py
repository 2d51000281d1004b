"""One line for each call of a service under --verbose, and none without it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.network_options import CaFile, NetworkOptions
from kspsign.network.trace import listening
from support.keylocker_bench import open_bench
from support.network.channels import CHANNELS, Channel
from support.network.faults import answering, hang_up
from support.network.listener import Listener
from support.samples import kspsign
from support.timestamping.server import Stamping

SIGNED = re.compile(r"network: keylocker signed [0-9a-f]{64} by request [\w-]+$")
"""What says by which request each of the two files was signed."""
LINE = re.compile(
    r"network: (GET|POST|OPTIONS|PUT|PATCH) (\S+) -> (\d{3}|no answer \(\w+\)) in \d+ ms, attempt (\d+)(, [\w-]+ \S+)?"
)


@pytest.mark.parametrize("channel", CHANNELS, indirect=True)
def test_each_call_is_one_line(channel: Channel) -> None:
    options = NetworkOptions()
    if channel.ca_file is not None:
        options = options._replace(ca_file=CaFile(channel.ca_file, "--ca-file"))
    lines: list[str] = []
    with listening(lines.append):
        assert channel.ask(channel.url, options) is None
    assert lines
    found = [LINE.fullmatch(line) for line in lines]
    assert all(match is not None and match[3] == "200" for match in found), lines
    assert all(f":{channel.port}/" in line for line in lines)
    assert len(lines) == len(set(lines)) or channel.code.startswith("AZURE"), "none is told twice"


@pytest.mark.parametrize("channel", ["timestamp", "aia", "keylocker", "gate"], indirect=True)
def test_attempts_are_numbered_and_redirects_are_calls(channel: Channel) -> None:
    lines: list[str] = []
    options = NetworkOptions()
    if channel.ca_file is not None:
        options = options._replace(ca_file=CaFile(channel.ca_file, "--ca-file"))
    with Listener(hang_up, channel.context) as server, listening(lines.append):
        assert channel.ask(server.url, options) is not None
    attempts = [int(match[4]) for match in map(LINE.fullmatch, lines) if match is not None]
    assert len(attempts) == len(lines)
    assert attempts == list(range(1, len(attempts) + 1))
    assert len(attempts) > 1
    lines.clear()
    with Listener(answering(404), channel.context) as server, listening(lines.append):
        assert channel.ask(server.url, options) is not None
    assert all("-> 404 in " in line for line in lines)


def test_a_run_shows_them_when_it_is_told_to(
    tmp_path: Path, authority: EmbeddedAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bench(tmp_path, authority) as bench, Stamping(authority) as stamping:
        for name, value in bench.host.environment.items():
            monkeypatch.setenv(name, value)
        bench.files(2)
        run = kspsign(*bench.arguments(stamping.url), "--verbose", folder=tmp_path)
        assert run.code == 0, run.text
        lines = [line for line in run.text.splitlines() if "network: " in line]
        requests = [LINE.search(line) for line in lines if not SIGNED.search(line)]
        assert all(requests), lines
        assert len(requests) == len(bench.host.service.record.requests) + stamping.asked
        assert len(lines) - len(requests) == 2
        assert bench.host.world.user.api_key not in run.text
        bench.files(2)
        assert "network: " not in kspsign(*bench.arguments(stamping.url), folder=tmp_path).text
