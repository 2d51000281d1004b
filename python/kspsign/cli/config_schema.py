"""The JSON schema of kspsign.yml: the settings of a run and the options of every key store, flat."""

from __future__ import annotations

import sys
from typing import Any

from kspsign.keys.table import STORES, StoreEntry
from kspsign.settings.model import INTERNAL_FIELDS, Settings
from kspsign.settings.store_options import options_of


def config_schema() -> dict[str, Any]:
    """The schema, with the key stores that other packages bring; one that can't be loaded is named on stderr."""
    schema = Settings.model_json_schema()
    schema["title"] = "kspsign.yml"
    properties = schema["properties"]
    for name in INTERNAL_FIELDS:
        properties.pop(name)
    names = [*STORES.entries]
    for name, entry in ((name, entry) for name, entry in STORES.installed_entries()):
        if isinstance(entry, StoreEntry):
            names.append(name)
            _add(properties, entry)
        else:
            sys.stderr.write(f"kspsign: left out: {entry}\n")
    for entry in STORES.entries.values():
        _add(properties, entry)
    properties["key_store"]["anyOf"] = [{"enum": names, "type": "string"}, {"type": "null"}]
    return schema


def _add(properties: dict[str, Any], entry: StoreEntry) -> None:
    """The options of this store; one that a setting of the run shares is there already."""
    model = entry.load_options()
    own = model.model_json_schema()["properties"]
    for name in options_of(model):
        properties.setdefault(name, own[name])
