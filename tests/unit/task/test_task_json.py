"""The task's manifest: what the agent and the servers ask of it, and its agreement with the settings model."""

from __future__ import annotations

import json
import re
import struct
import sys
import tomllib
import typing
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from kspsign.cli.options import settings_fields
from kspsign.keys.table import STORES
from kspsign.model.version import VERSION
from kspsign.settings.commands import COMMAND_LINE_COMMANDS, Command
from kspsign.settings.context import RunContext
from kspsign.settings.model import COMMAND_LINE_FIELDS
from kspsign.settings.store_options import options_of, secret_variables
from support.places import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from vendor import PLATFORMS, PYTHONS

FOLDER = ROOT / "task" / "KspSign"
TASK: dict[str, Any] = json.loads((FOLDER / "task.json").read_text(encoding="utf-8"))
EXTENSION: dict[str, Any] = json.loads((ROOT / "vss-extension.json").read_text(encoding="utf-8"))
INPUTS: dict[str, dict[str, Any]] = {declared["name"]: declared for declared in TASK["inputs"]}

OWN_INPUTS = {"bundledOnly", "command", "config", "connection", "password", "pythonPath"}
VARIABLES = {name for model in STORES.built_in().values() for name, _variable in secret_variables(model)}
NO_INPUTS = VARIABLES | COMMAND_LINE_FIELDS | {"publish_token_env"}
"""Settings that are not inputs: the task hands its secrets over itself, by no name."""
SETTINGS = settings_fields()
FIELDS = set(SETTINGS) - NO_INPUTS

TOP_LEVEL = {
    *("$schema", "id", "name", "friendlyName", "description", "helpUrl", "helpMarkDown", "author", "preview"),
    *("category", "visibility", "runsOn", "version", "minimumAgentVersion", "instanceNameFormat", "groups"),
    *("inputs", "execution", "postjobexecution", "restrictions", "messages", "outputVariables"),
}
INPUT_KEYS = {
    *("name", "aliases", "label", "type", "defaultValue", "required", "helpMarkDown", "groupName", "visibleRule"),
    *("properties", "options"),
}
INPUT_TYPES = {"boolean", "multiLine", "pickList", "string", "int"}
INPUT_TYPES |= {"connectedService:AzureRM", "connectedService:kspsign-digicert"}


def test_only_keys_of_the_task_schema_are_used() -> None:
    assert set(TASK) <= TOP_LEVEL
    for declaration in TASK["inputs"]:
        assert set(declaration) <= INPUT_KEYS
        assert {"name", "label", "type"} <= set(declaration)
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", declaration["name"])
        assert declaration["type"] in INPUT_TYPES
        assert ("options" in declaration) == (declaration["type"] == "pickList")
    assert len(INPUTS) == len(TASK["inputs"])


def test_properties_have_the_types_of_the_schema() -> None:
    for properties in (declared["properties"] for declared in TASK["inputs"] if "properties" in declared):
        assert all(isinstance(value, bool if name == "resizable" else str) for name, value in properties.items())


def test_names_and_limits() -> None:
    assert uuid.UUID(TASK["id"]).version == 4
    assert re.fullmatch(r"[A-Za-z0-9\-]+", TASK["name"])
    assert len(TASK["friendlyName"]) <= 40
    assert TASK["category"] == "Utility"
    assert set(TASK["runsOn"]) == {"Agent", "DeploymentGroup"}
    assert set(re.findall(r"\$\((\w+)\)", TASK["instanceNameFormat"])) <= set(INPUTS)


def test_both_current_node_handlers_start_the_same_files() -> None:
    for phase, script in (("execution", "index"), ("postjobexecution", "cleanup")):
        assert set(TASK[phase]) == {"Node20_1", "Node24"}
        assert [handler["target"] for handler in TASK[phase].values()] == [f"dist/{script}.js"] * 2
    assert TASK["minimumAgentVersion"] == "4.248.0"


def test_there_is_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert ".".join(str(TASK["version"][part]) for part in ("Major", "Minor", "Patch")) == version
    assert EXTENSION["version"] == VERSION == version


def test_the_inputs_are_the_settings() -> None:
    assert set(INPUTS) == {to_camel(field) for field in FIELDS} | OWN_INPUTS


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_an_input_has_the_type_of_its_setting(field: str) -> None:
    declaration = INPUTS[to_camel(field)]
    annotation = SETTINGS[field].annotation
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    choices = typing.get_args(parts[0]) if parts and typing.get_origin(parts[0]) is typing.Literal else parts
    if typing.get_origin(annotation) is tuple:
        assert declaration["type"] == "multiLine"
    elif annotation is bool:
        assert declaration["type"] == "boolean"
    elif annotation is int:
        assert declaration["type"] == "int"
    elif field == "key_store":
        assert declaration["options"] == {entry.name: entry.title for entry in STORES.entries.values()}
    elif choices and all(isinstance(choice, str) for choice in choices):
        assert list(declaration["options"]) == list(choices)
    elif field == "azure_connection_id":
        assert declaration["type"] == "connectedService:AzureRM"  # so that Azure Pipelines lets the job use it
    else:
        assert declaration["type"] == "string"


def test_an_input_of_key_stores_is_shown_for_those_that_have_it() -> None:
    models = STORES.built_in()
    fields = {name for model in models.values() for name in options_of(model)} - NO_INPUTS
    assert {"keypair_alias", "pkcs12", "csp"} <= fields
    for field in fields:
        having = [name for name, model in models.items() if field in model.model_fields]
        rule = None if len(having) == len(models) else " || ".join(f"keyStore = {name}" for name in having)
        declaration = INPUTS[to_camel(field)]
        assert (declaration["groupName"], declaration.get("visibleRule")) == ("key", rule), field


def test_the_password_is_hidden_where_a_key_store_has_no_secret() -> None:
    """It is shown while no key store is named: one that is known by its thumbprint may need it."""
    without = [name for name, model in STORES.built_in().items() if not list(secret_variables(model))]
    assert INPUTS["password"]["visibleRule"] == " && ".join(f"keyStore != {name}" for name in without)
    assert {"password_env", "pkcs11_pin_env"} <= VARIABLES


def test_empty_inputs_stay_empty_so_that_the_configuration_file_holds() -> None:
    assert {name for name, declared in INPUTS.items() if "defaultValue" in declared or declared.get("required")} == {
        "command"
    }
    assert INPUTS["command"]["defaultValue"] in INPUTS["command"]["options"]
    assert not any(declared["type"] == "filePath" for declared in INPUTS.values())


def test_every_input_has_help_and_a_known_group() -> None:
    groups = {group["name"] for group in TASK["groups"]}
    for name, declaration in INPUTS.items():
        assert declaration["helpMarkDown"].endswith("."), name
        assert declaration.get("groupName", next(iter(groups))) in groups
    assert {declared["groupName"] for declared in INPUTS.values() if "groupName" in declared} == groups


def test_visible_rules_name_inputs_and_their_values() -> None:
    rules = [declared["visibleRule"] for declared in (*TASK["inputs"], *TASK["groups"]) if "visibleRule" in declared]
    assert rules
    for part in (part for rule in rules for part in re.split(r" && | \|\| ", rule)):
        name, _operator, value = re.fullmatch(r"(\w+) (=|!=) ([\w-]+)", part).groups()  # type: ignore[union-attr]
        assert value in INPUTS[name]["options"]


def test_each_command_of_files_is_offered_and_shows_what_it_takes() -> None:
    assert {*typing.get_args(Command), "inspect"} - COMMAND_LINE_COMMANDS == set(INPUTS["command"]["options"])
    hidden = {group["name"]: group.get("visibleRule", "") for group in TASK["groups"]}
    for command in ("verify", "merge", "timestamp", "inspect"):
        assert f"command != {command}" in hidden["key"].split(" && "), "these need no key, and so no password"
    signing_only = {"engine", "noTimestamp", "append", "replace", "skipSigned", "description", "pageHashes"}
    assert all(INPUTS[name]["visibleRule"] == "command != timestamp" for name in signing_only)
    assert not {"visibleRule"} & {*INPUTS["timestampUrl"], *INPUTS["digest"]}


def test_no_group_hides_an_input_from_a_command_that_it_is_for() -> None:
    hidden = {group["name"]: group.get("visibleRule", "") for group in TASK["groups"]}
    meant = {
        name: re.findall(r"command = ([\w-]+)", declared.get("visibleRule", "")) for name, declared in INPUTS.items()
    }
    assert "verify" in meant["inside"]
    for name, commands in meant.items():
        for command in commands:
            assert f"command != {command}" not in hidden.get(INPUTS[name].get("groupName", ""), "").split(" && "), name


def test_what_matters_for_a_key_store_comes_first() -> None:
    order = [name for name, declared in INPUTS.items() if declared.get("groupName") == "key"]
    assert order[0] == "keyStore"
    for store, needed in (
        ("keylocker", ["connection", "keypairAlias"]),
        ("azure-key-vault", ["keyIdentifier"]),
        ("azure-artifact-signing", ["signingEndpoint", "signingAccount", "certificateProfile"]),
        ("pkcs12", ["pkcs12"]),
        ("pkcs11", ["pkcs11Module", "pkcs11Token", "keypairAlias"]),
    ):
        own = [
            name for name in order if f"keyStore = {store}" in INPUTS[name].get("visibleRule", f"keyStore = {store}")
        ]
        assert own[1 : 1 + len(needed)] == needed if own[0] == "keyStore" else own[: len(needed)] == needed, store


def test_only_the_outputs_may_be_set() -> None:
    outputs = [output["name"] for output in TASK["outputVariables"]]
    assert TASK["restrictions"] == {"settableVariables": {"allowed": [*outputs, "PATH"]}}  # `shims` prepends to it
    assert outputs == ["thumbprint", "filesMatched", "filesSigned", "filesFailed", "reportPath"]
    assert all(output["description"] for output in TASK["outputVariables"])


def test_the_extension_contributes_the_task() -> None:
    (contribution,) = [
        contribution
        for contribution in EXTENSION["contributions"]
        if contribution["properties"]["name"] == "task/KspSign"
    ]
    assert contribution["type"] == "ms.vss-distributed-task.task"
    assert contribution["targets"] == ["ms.vss-distributed-task.tasks"]
    assert FOLDER == ROOT / "task/KspSign"
    assert FOLDER.name == TASK["name"]
    assert len(EXTENSION["description"]) <= 200


@pytest.mark.parametrize(("path", "size"), [(FOLDER / "icon.png", 32), (ROOT / "images" / "icon.png", 128)])
def test_icons_are_png_of_the_size_asked_for(path: Path, size: int) -> None:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (size, size)


class _Asked(dict[str, str]):
    """Variables that remember which names were asked for."""

    def __init__(self) -> None:
        super().__init__(BUILD_BUILDID="1", TF_BUILD="True")
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_the_shim_hands_over_the_variables_that_the_engine_asks_for_and_no_others() -> None:
    asked = _Asked()
    RunContext.from_environment(asked, is_tty=False)
    tables = json.loads((ROOT / "task" / "shim" / "src" / "tables.json").read_text(encoding="utf-8"))
    assert set(tables["pipeline"]) == asked.names


def test_the_shim_hands_over_the_variables_that_a_key_store_reads() -> None:
    tables = json.loads((ROOT / "task" / "shim" / "src" / "tables.json").read_text(encoding="utf-8"))
    handed = {name for names in tables.values() if isinstance(names, list) for name in names}
    of_connections = set(tables["azureConnection"]) | {"AZURE_CLIENT_CERTIFICATE", "AZURE_CONNECTION_SCHEME"}
    for store, model in STORES.built_in().items():
        left = {
            name for name in model.variables - handed - of_connections if not name.startswith(("ACTIONS_", "GITHUB_"))
        }
        assert left == set(), store
    document = (ROOT / "task" / "shim" / "src" / "document.ts").read_text(encoding="utf-8")
    assert all(f"...tables.{name}" in document for name in ("azure", "aws", "google", "vault", "signserver", "esigner"))


def test_a_service_connection_keeps_its_secrets_in_its_scheme_and_the_shim_reads_each() -> None:
    """Confidential fields of the type itself would reach child processes, and no mask covers them."""
    (kind,) = [
        contribution
        for contribution in EXTENSION["contributions"]
        if contribution["type"].endswith("service-endpoint-type")
    ]
    properties = kind["properties"]
    assert "inputDescriptors" not in properties
    (scheme,) = properties["authenticationSchemes"]
    fields = {descriptor["id"]: descriptor for descriptor in scheme["inputDescriptors"]}
    assert all(field["isConfidential"] and field["inputMode"] == "passwordbox" for field in fields.values())
    assert INPUTS["connection"]["type"] == f"connectedService:{properties['name']}"
    tables = json.loads((ROOT / "task" / "shim" / "src" / "tables.json").read_text(encoding="utf-8"))
    read = {name.rpartition("_")[2] for name in tables["connection"].values() if "PARAMETER" in name}
    assert read == {name.upper() for name in fields}


def test_what_the_package_has_libraries_for_is_said_where_people_look() -> None:
    words = f"CPython {PYTHONS[0]} to {PYTHONS[-1]} on Linux x64 (glibc), Windows x64 "
    assert sorted(PLATFORMS) == ["linux-x86_64", "macos-arm64", "windows-x86_64"]
    places = (FOLDER / "task.json", ROOT / "task" / "overview.md", ROOT / "task" / "engine" / "provision.py")
    for text in (path.read_text(encoding="utf-8") for path in places):
        assert words in " ".join(text.replace('" \n    "', "").replace('"\n    "', "").split())


def test_the_shim_stays_thin() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "task" / "shim" / "src").glob("*.ts")]
    assert 0 < sum(bool(line.strip()) for source in sources for line in source.splitlines()) < 200
