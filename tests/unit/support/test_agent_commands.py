"""The mini agent's reading of logging commands, against the agent's documented rules and our own writer."""

from __future__ import annotations

import random

import pytest

from kspsign.publishing.logging_commands import logging_command
from support.agent.commands import parse, unescape


def test_a_command_is_found_anywhere_in_a_line() -> None:
    command = parse("noise ##vso[task.setvariable variable=a;isSecret=TRUE]v ##vso[task.complete result=Failed]")
    assert command is not None
    assert command.name == "task.setvariable"
    assert command.properties == {"variable": "a", "issecret": "TRUE"}
    assert command.flag("issecret")
    assert command.data == "v ##vso[task.complete result=Failed]"


@pytest.mark.parametrize(
    "line", ["", "vso[task.debug]x", "##vso[task.debug", "##vso[task]x", "##vso[a.b.c]x", "##[error]x"]
)
def test_what_the_agent_takes_for_text(line: str) -> None:
    assert parse(line) is None


def test_properties_without_a_name_or_a_value_are_dropped() -> None:
    command = parse("##vso[task.logissue type=error;=x;code=;flag;message=a=b]text")
    assert command is not None
    assert command.properties == {"type": "error", "message": "a=b"}


def test_the_percent_sign_is_unescaped_last() -> None:
    assert unescape("%AZP253B") == "%3B"
    assert unescape("%3B%0D%0A%5D%AZP25") == ";\r\n]%"
    assert unescape("%AZPAZP2525") == "%AZPAZP2525"


def test_what_our_writer_escapes_the_agent_reads_back() -> None:
    chance = random.Random(20260131)  # noqa: S311 -- test data
    parts = ["%", "%AZP25", "%3B", "%0A", ";", "]", "[", "=", "\r", "\n", " ", "##vso[", "ü", "x", "\u200b"]
    for _ in range(500):
        value, data = ("".join(chance.choices(parts, k=chance.randint(1, 9))) for _ in range(2))
        line = logging_command("task.setvariable", data, variable=value)
        assert len(line.splitlines()) == 1
        command = parse(line)
        assert command is not None
        assert (command.properties["variable"], command.data) == (value, data)
