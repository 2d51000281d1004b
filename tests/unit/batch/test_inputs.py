"""Which files the settings name to be read: none of them may be written over."""

from __future__ import annotations

from pathlib import Path

from kspsign.batch.outputs import inputs_of
from kspsign.model.run_facts import ConfigurationFacts
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.model import Settings


def test_settings_of_one_file_and_of_several() -> None:
    settings = Settings(command="verify", policy=Path("p.yml"), trust_root=(Path("a.pem"), Path("b.pem")))
    assert inputs_of(settings).items() >= {
        ("--policy", Path("p.yml")),
        ("--trust-root", Path("a.pem")),
        ("--trust-root (1)", Path("b.pem")),
    }


def test_a_configuration_file_counts_where_it_is_read() -> None:
    origin = ConfigOrigin(ConfigurationFacts("ci.yml", "0" * 64), unread=Path("kspsign.yml"))
    found = inputs_of(Settings(command="verify", configuration=origin))
    assert found["--config"] == Path("ci.yml")
    assert Path("kspsign.yml") not in found.values()
