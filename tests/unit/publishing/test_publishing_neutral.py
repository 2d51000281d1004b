"""Words from outside stay words: in a log, a logging command, XML, Markdown."""

from __future__ import annotations

import random
import re
import unicodedata
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from kspsign.publishing.logging_commands import escape_data, escape_property, issue, logging_command
from kspsign.publishing.sanitize import clipped, encodable, log_line, markdown_text, visible, xml_text

if TYPE_CHECKING:
    from unit.publishing.conftest import Samples

PIECES = ["%", "AZP25", "%AZP25", "%0A", "%3B", ";", "]", "=", "\r", "\n", "##vso[", "a", "ü", " ", "5D"]


def weightless_removed(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "", text).lower()


def test_a_log_line_is_one_line_without_commands_or_hidden_characters(hostile: str) -> None:
    line = log_line(hostile)
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert "##vso[" not in weightless_removed(line)
    assert "##[" not in weightless_removed(line)
    assert log_line(line) == line


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.dll", "a.dll"),
        ("größe 文.dll", "größe 文.dll"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("x\u202ey", r"x\u202ey"),
        ("\udcff.dll", r"\xff.dll"),
        ("a##VsO[b", "a##_VsO[b"),
        ("a##[b", "a##_[b"),
        ("a#[b ##vso b", "a#[b ##vso b"),
    ],
)
def test_what_a_log_line_shows(name: str, shown: str) -> None:
    assert log_line(name) == shown


def test_properties_and_data_come_back_from_the_agent_as_they_were(samples: Samples) -> None:
    chance = random.Random(20260131)  # noqa: S311 - picks test data, and the same each time
    texts = [
        *samples.hostile,
        *("".join(chance.choices(PIECES, k=chance.randint(0, 12))) for _ in range(3000)),
    ]
    for text in texts:
        line = logging_command("task.setvariable", text, variable=text)
        assert re.search("[\r\n]", line) is None
        assert "]" not in escape_property(text)
        assert ";" not in escape_property(text)
        (command,) = samples.commands(line)
        assert command.name == "task.setvariable"
        assert command.data == text
        assert command.properties["variable"] == re.sub(r"[^\x20-\x7e\r\n]", "", text)


def test_percent_is_escaped_first() -> None:
    assert escape_data("%0A\n") == "%AZP250A%0A"
    assert escape_property("%5D];") == "%AZP255D%5D%3B"


def test_an_issue_is_one_command_of_bounded_length(hostile: str, samples: Samples) -> None:
    (command,) = samples.commands(issue("error", hostile, hostile * 100))
    assert command.name == "task.logissue"
    assert command.properties["type"] == "error"
    assert len(command.data) <= 1000
    assert "\n" not in command.data


def test_xml_text_is_fit_for_xml_and_keeps_line_feeds(hostile: str) -> None:
    element = ET.Element("case", name=xml_text(hostile))
    element.text = xml_text(f"first\n{hostile}")
    document = ET.tostring(element, encoding="unicode")
    read = ET.fromstring(document.encode("utf-8"))  # noqa: S314 - written two lines above
    assert read.text == element.text
    assert read.text is not None
    assert read.text.startswith("first\n")
    assert "##vso[" not in weightless_removed(document)


def test_markdown_text_is_plain_text_in_its_table_cell(hostile: str) -> None:
    table = f"| a | b |\n| --- | --- |\n| {markdown_text(hostile)} | end |\n"
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    cells = [token for token in parser.parse(table) if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3].content == "end"
    children = cells[2].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == visible(hostile)


def test_markdown_text_refers_to_no_work_item_pull_request_or_person() -> None:
    assert markdown_text("#12 !34 @me") == "&#35;12 &#33;34 &#64;me"


def test_encodable_changes_nothing_but_what_no_encoder_takes() -> None:
    assert encodable("a\nb\u202e\udcff\ud800") == "a\nb\u202e\\xff\\ud800"


def test_clipped_shows_that_something_is_missing() -> None:
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("abcdefg", 6) == "abc..."
