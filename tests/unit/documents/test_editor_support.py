"""An editor that knows the schema of kspsign.yml: the server that VS Code and others start, on the page's example."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from kspsign.cli.config_schema import config_schema
from support.documentation.reading import blocks
from support.language_service.yaml_server import Editor
from support.places import ROOT

FILE = "kspsign.schema.json"
(EXAMPLE,) = [
    block.text
    for block in blocks()
    if block.page == "docs/reference/configuration.md" and f"$schema={FILE}" in block.text
]
FAULTS = {
    "an unknown setting": ("kypair_alias: x\n", "kypair_alias"),
    "an unknown key store": ("pkcs11_slot: first\n", "integer"),
    "a wrong digest": ("digest: sha1\n", "sha256"),
    "too many at once": ("jobs: 1000\n", "256"),
}


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """With a folder open that holds the schema as the repository publishes it."""
    folder = tmp_path_factory.mktemp("editor")
    (folder / FILE).write_bytes((ROOT / "docs" / "reference" / FILE).read_bytes())
    with Editor(folder) as editor:
        yield editor


def test_the_published_schema_is_what_the_command_prints() -> None:
    assert json.loads((ROOT / "docs" / "reference" / FILE).read_text(encoding="utf-8")) == config_schema()


def test_the_example_is_without_fault(editor: Editor) -> None:
    assert editor.open("kspsign.yml", EXAMPLE) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_underlined_where_it_is(editor: Editor, fault: str) -> None:
    line, words = FAULTS[fault]
    (found,) = editor.open(f"{fault.replace(' ', '-')}.yml", EXAMPLE + line)
    assert found.startswith(f"{len(EXAMPLE.splitlines()) + 1}: ")
    assert words in found


def test_the_key_names_the_schema_as_the_comment_does(editor: Editor) -> None:
    text = f"$schema: {FILE}\ndigest: sha1\n"
    assert editor.open("key.yml", f"$schema: {FILE}\ndigest: sha256\n") == []
    (found,) = editor.open("wrong-key.yml", text)
    assert found.startswith("2: ")


def test_settings_are_completed_and_explained(editor: Editor) -> None:
    text = EXAMPLE + "timest"
    editor.open("writing.yml", text)
    place = {
        "textDocument": {"uri": editor.uri("writing.yml")},
        "position": {"line": len(EXAMPLE.splitlines()), "character": 6},
    }
    offered = {item["label"] for item in editor.ask("textDocument/completion", **place)["items"]}
    assert {"timestamp_url", "timestamp_jobs", "timestamp_mode"} <= offered
    line = next(number for number, text in enumerate(EXAMPLE.splitlines()) if text.startswith("keypair_alias"))
    shown = editor.ask("textDocument/hover", **place | {"position": {"line": line, "character": 3}})
    assert "Alias of the key pair" in json.dumps(shown)
