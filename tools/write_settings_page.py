"""Write docs/reference/settings.md and the published schema of kspsign.yml from the settings models and the manifests.

`--check` writes nothing and fails where a file is not what would be written.
"""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from environment_variables import READ
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kspsign.cli.config_schema import config_schema
from kspsign.cli.option_groups import GROUPS
from kspsign.cli.options import FIELDS, settings_fields
from kspsign.keys.table import STORES
from kspsign.settings.commands import STORE_OPTION_COMMANDS
from kspsign.settings.faults import option_name
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, USER_FIELDS
from kspsign.settings.store_options import Metavar, StoreOptions, marker, options_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "settings.md"
SCHEMA = ROOT / "docs" / "reference" / "kspsign.schema.json"
HEAD = """# Every setting

<!-- Written by tools/write_settings_page.py from the settings models, task.json and action.yml. -->

A setting has one name in four spellings: the option of the command line, the input of the task `KspSign@1`, the input \
of the GitHub action, and the key in [kspsign.yml](configuration.md). A dash means that there is none: a secret's \
variable is named on the command line only, since the task and the action take the secret itself \
(`password`, [below](#inputs-of-the-task-alone)).

Lists are options that may be repeated, inputs with a line for every item, and lists in the file. A switch takes no \
value on the command line, `true` or `false` elsewhere, and `--no-NAME` switches off what the file switches on.

`kspsign COMMAND --help` shows the same. The gate has settings of its own: [gate](gate.md).
"""
OUTSIDE = """## Inputs of the task alone

| input | meaning |
|---|---|
{task}

## Inputs of the action alone

| input | meaning |
|---|---|
{action}

## Output variables

Later steps read `$(STEP.thumbprint)`, where `STEP` is the `name:` of the step; on GitHub, \
`${{{{ steps.STEP.outputs.thumbprint }}}}` with its `id:`.

| task | action | value |
|---|---|---|
{outputs}
"""
ENVIRONMENT = """## Environment variables

Besides these: the variables that settings name (`--password-env`, `--pkcs11-pin-env`, `--publish-token-env`), and \
those that `--tool-env` hands on to the programs of a vendor. A program that kspsign starts gets the system's own \
variables (`PATH`, `HOME`, `TEMP` ...), and what is stated here.

| variable | meaning |
|---|---|
"""
COLUMNS = "| option | task | action | file | type, default | for | meaning |\n|---|---|---|---|---|---|---|\n"
NO_NAME = "-"
TASK: dict[str, Any] = json.loads((ROOT / "task" / "KspSign" / "task.json").read_text(encoding="utf-8"))
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
DEFAULTS = {"timestamp_url": ", ".join(f"`{url}`" for url in DEFAULT_TIMESTAMP_URLS)}
"""What the models can't say."""


def row(name: str, field: FieldInfo, scope: str) -> str:
    """The row of one setting; `scope` names the commands or key stores that have it."""
    task = {item["name"] for item in TASK["inputs"]}
    option = "`PATTERN ...`" if name == "files" else f"`{option_name(name)}`"
    camel, dashed = to_camel(name), name.replace("_", "-")
    cells = [
        option,
        f"`{camel}`" if camel in task else NO_NAME,
        f"`{dashed}`" if dashed in ACTION["inputs"] else NO_NAME,
        f"`{name}`",
        f"{kind(name, field)}{default(name, field)}",
        scope,
        re.sub(r"([|*])", r"\\\1", field.description or ""),
    ]
    return f"| {' | '.join(cells)} |"


def kind(name: str, field: FieldInfo) -> str:
    """The type of a value, in words."""
    (form,) = [item for item in _alternatives(field.annotation) if item is not type(None)]
    if name == "key_store":
        return ", ".join(f"`{store}`" for store in STORES.entries)
    if form is bool:
        return "switch"
    if get_origin(form) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(form))
    if form is int:
        return f"number{_bounds(field)}"
    item = get_args(form)[0] if get_origin(form) is tuple else form
    said = marker(field, Metavar)
    word = {"FOLDER": "folder", "URL": "URL", "NAME": "name"}.get(said.text if said else "", "")
    word = word or ("file" if item is Path else "text")
    return f"list of {word}s" if get_origin(form) is tuple else word


def default(name: str, field: FieldInfo) -> str:
    """The default in words; nothing where the meaning has it, or there is none."""
    value = DEFAULTS.get(name)
    given = field.get_default()
    if value is None and isinstance(given, (str, int)) and not isinstance(given, bool):
        value = f"`{given}`"
    return f"; default {value}" if value else ""


def _bounds(field: FieldInfo) -> str:
    low = next((item.ge for item in field.metadata if isinstance(item, annotated_types.Ge)), None)
    high = next((item.le for item in field.metadata if isinstance(item, annotated_types.Le)), None)
    return f" from {low} to {high}" if high is not None else f" from {low}" if low is not None else ""


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)


def of_run() -> str:
    """The settings of any run, in the groups of --help, and the commands that take it."""
    parts = []
    grouped = {name for names in GROUPS.values() for name in names}
    rest = {"other settings": tuple(name for name in USER_FIELDS if name not in grouped)}
    for title, names in {**GROUPS, **(rest if any(rest.values()) else {})}.items():
        rows = [row(name, USER_FIELDS[name], _commands(name)) for name in names]
        parts.append(f"## {title.capitalize()}\n\n{COLUMNS}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _commands(name: str) -> str:
    """Which commands take the setting."""
    having = [command for command, names in FIELDS.items() if name in names]
    return "all commands" if having == [*FIELDS] else _code(having)


def of_stores() -> str:
    """The options of the key stores: those of several name theirs."""
    fields = settings_fields()
    holders = {
        name: [entry.name for entry in STORES.entries.values() if name in options_of(entry.load_options())]
        for name in fields
        if name not in USER_FIELDS
    }
    everywhere = [name for name in holders if name in StoreOptions.model_fields]
    rest = [name for name in holders if name not in everywhere]
    order = [*STORES.entries]
    rest.sort(key=lambda name: (-len(holders[name]), order.index(holders[name][0])))
    commands = _code(name for name in FIELDS if name in STORE_OPTION_COMMANDS)
    head = (
        f"## Options of key stores\n\nFor the commands {commands}. An option of another key store than the chosen one "
    )
    rows = [row(name, fields[name], "any key store") for name in everywhere]
    rows += [row(name, fields[name], _code(holders[name])) for name in rest]
    return f"{head}is ignored, so that one file may serve several.\n\n{COLUMNS}" + "\n".join(rows) + "\n"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def surfaces() -> str:
    """Inputs without a setting, and the outputs."""
    fields = settings_fields()
    inputs = {item["name"]: item.get("helpMarkDown", "") for item in TASK["inputs"]}
    known = {to_camel(name) for name in fields}
    task = [f"| `{name}` | {text} |" for name, text in inputs.items() if name not in known]
    action = [
        f"| `{name}` | {item.get('description', '')} |"
        for name, item in ACTION["inputs"].items()
        if name.replace("-", "_") not in fields
    ]
    outputs = {item["name"]: item["description"] for item in TASK["outputVariables"]}
    rows = [f"| `{name}` | `{dashed(name)}` | {text} |" for name, text in outputs.items()]
    return OUTSIDE.format(task="\n".join(task), action="\n".join(action), outputs="\n".join(rows))


def dashed(camel: str) -> str:
    """filesMatched -> files-matched."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in camel)


def environment() -> str:
    """The variables that are read; those of one key store alone by what its options declare."""
    rows = [f"| {_code(item.names)} | {item.meaning} |" for item in READ]
    listed = {name for item in READ for name in item.names}
    own = {entry.name: sorted(entry.load_options().variables - listed) for entry in STORES.entries.values()}
    rows += [f"| {_code(names)} | Read by the key store `{store}`. |" for store, names in own.items() if names]
    return ENVIRONMENT + "\n".join(rows) + "\n"


def texts() -> Mapping[Path, str]:
    """The files that are written, by their path."""
    page = f"{HEAD}\n{of_run()}\n{of_stores()}\n{surfaces()}\n{environment()}"
    return {PAGE: page, SCHEMA: json.dumps(config_schema(), indent=2) + "\n"}


def main() -> None:
    """Write the files, or compare them."""
    for path, text in texts().items():
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path} is not what the settings say: run tools/write_settings_page.py.")


if __name__ == "__main__":
    main()
