"""The JSON schema of kspsign.yml: the settings of a run and the options of every key store, flat."""

from __future__ import annotations

import sys
from typing import Any

from kspsign.keys.table import STORES, StoreEntry
from kspsign.settings.config_file import SCHEMA_KEY
from kspsign.settings.model import INTERNAL_FIELDS, Settings
from kspsign.settings.store_options import AloneMeans, marker, options_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """The schema, with the key stores that other packages bring; one that can't be loaded is named on stderr."""
    of_run = Settings.model_json_schema()["properties"]
    properties = {name: _lines(name, schema) for name, schema in of_run.items() if name not in INTERNAL_FIELDS}
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
    return {
        "$schema": DIALECT,
        "title": "kspsign.yml",
        "description": "Settings of kspsign, each as on its command line and in its task.",
        "type": "object",
        "properties": {
            SCHEMA_KEY: {"type": "string", "description": "This schema, for editors; kspsign does not read it."},
            **properties,
        },
        "additionalProperties": False,
    }


def _add(properties: dict[str, Any], entry: StoreEntry) -> None:
    """The options of this store; one that a setting of the run shares is there already."""
    model = entry.load_options()
    own = model.model_json_schema()["properties"]
    for name in options_of(model):
        properties.setdefault(name, own[name])


def _lines(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a setting of the run: a list may be a text too, with an item in each line, and a switch where its
    option may be given alone."""
    if schema.get("type") != "array":
        return schema
    listed = {"type": "array", "items": schema["items"]}
    rest = {name: value for name, value in schema.items() if name not in listed}
    alone = marker(Settings.model_fields[name], AloneMeans) is not None
    return {**rest, "anyOf": [listed, {"type": "string"}, *([{"type": "boolean"}] if alone else [])]}
