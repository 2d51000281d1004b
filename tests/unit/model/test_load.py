"""Every string of every table of late imports names what it should (ADR 0011)."""

from __future__ import annotations

import pytest

from kspsign.authenticode.formats import FORMATS, resolve
from kspsign.cli.commands import COMMANDS, SCHEMAS
from kspsign.keys.table import STORES
from kspsign.model.load import load
from kspsign.publishing.console import CONSOLES

TARGETS = [*COMMANDS.values(), *SCHEMAS.values(), *(name for names in CONSOLES.values() for name in names)]


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_table_names_can_be_called(target: str) -> None:
    assert callable(load(target))


def test_formats_and_key_stores_are_there() -> None:
    assert len({id(resolve(target)) for target in FORMATS.values()}) == len(FORMATS)
    assert all(entry.load_options() and entry.load_kind() for entry in STORES.entries.values())


@pytest.mark.parametrize("target", ["kspsign.no_such_module:X", "kspsign.model.load:no_such_name"])
def test_what_is_not_there_is_an_error(target: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        load(target)
