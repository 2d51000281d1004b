"""The commands and what each may be told: the options come from the settings models."""

from __future__ import annotations

import argparse
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from kspsign.settings.model import INTERNAL_FIELDS, Settings, option_name

_OUTPUT = ("report", "junit", "summary", "quiet", "verbose")
_RESULTS = (*_OUTPUT, "publish_token_env")
_TOOLS = ("signtool", "smctl", "navsip", "tool_env")
_KEY = (
    *("key_store", "keypair_alias", "thumbprint", "pkcs12", "password_env", "store"),
    *("key_identifier", "azure_credential", "azure_tenant_id", "azure_client_id", "azure_connection_id", "no_aia"),
    *("pkcs11_module", "pkcs11_token", "pkcs11_slot", "pkcs11_key_id", "pkcs11_pin_env"),
    *("csp", "certificate", "certificate_store", "account_id", *_TOOLS),
)
_ALL = tuple(name for name in Settings.model_fields if name not in INTERNAL_FIELDS)

SUMMARIES: dict[str, str | None] = {
    "run": "certsync -> sign -> verify -> publish (what the task runs)",
    "certsync": "bring the certificate to this agent; the last line of stdout is its thumbprint",
    "sign": "sign and verify, publish nothing",
    "timestamp": "add a timestamp to signatures that lack one",
    "verify": "strict verification",
    "merge": "one report and one verdict from the reports of all slices",
    "inspect": "what signatures a file carries",
    "doctor": "check every prerequisite of a run, each with its remedy; signs nothing",
    "explain": "what an error code or a tool's output means and what to do",
    "gate": "ask Azure DevOps whether a build's verdict lets a release go on",
    "demo": "the whole path on the embedded default, on real Windows binaries",
    "schema": "JSON schema of kspsign.yml, of a policy file and of the report",
    "action": None,  # how the GitHub action starts the engine: its inputs in one variable
    "task": None,  # how the Azure Pipelines task starts the engine: a document on standard input
}
FIELDS: dict[str, tuple[str, ...]] = {
    "run": _ALL,
    "certsync": (*_KEY, "tools_msi", "tools_msi_sha256", "ca_file", "quiet", "verbose"),
    "sign": tuple(name for name in _ALL if name != "publish_token_env"),
    "timestamp": (
        *("files", "folder", "timestamp_url", "timestamp_jobs", "digest", "trust_root", "fail_fast", "ca_file"),
        *_OUTPUT,
    ),
    "doctor": ("files", "folder", *_KEY, "engine", "timestamp_url", "no_timestamp", "ca_file"),
    "verify": (
        "files",
        "folder",
        "trust_root",
        "policy",
        "revocation",
        "ca_file",
        "no_timestamp",
        "signtool_verify",
        "signtool",
        "slice",
        *_RESULTS,
    ),
    "merge": ("files", "folder", "policy", "ca_file", *_RESULTS),
}


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Give `parser` the options of `command`."""
    if command in FIELDS:
        parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: kspsign.yml)")
        for name in FIELDS[command]:
            _add_field(parser, name)
        if command == "doctor":
            parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    elif command == "gate":
        from kspsign.gate.settings import GATE_INTERNAL_FIELDS, GateSettings  # noqa: PLC0415 - of this command alone

        for name in (each for each in GateSettings.model_fields if each not in GATE_INTERNAL_FIELDS):
            _add_field(parser, name, GateSettings)
    elif command == "inspect":
        parser.add_argument("file", type=Path, metavar="FILE", help="the file to look into")
        parser.add_argument("--trust-root", type=Path, action="append", metavar="PEM", help="roots to trust instead")
    elif command == "explain":
        parser.add_argument("words", nargs="+", metavar="CODE|TEXT", help="0x800B0100, a line of output, - for stdin")
    elif command == "demo":
        parser.add_argument(
            "folder", type=Path, nargs="?", metavar="DIR", help="folder for the results (default: demo)"
        )
    elif command == "schema":
        parser.add_argument("what", choices=("config", "policy", "report"), help="which schema to print")


def _add_field(parser: argparse.ArgumentParser, name: str, model: type[BaseModel] = Settings) -> None:
    """One option from one field of `model`: its type gives the form, its description the help."""
    field = model.model_fields[name]
    text = (field.description or "").replace("%", "%%")
    if name == "files" and model is Settings:
        parser.add_argument("files", nargs="*", metavar="PATTERN", help=text)
        return
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not type(None)]
    if kinds == [bool]:
        parser.add_argument(option_name(name), action="store_true", help=text)
    elif get_origin(kinds[0]) is Literal:
        parser.add_argument(option_name(name), choices=get_args(kinds[0]), help=text)
    elif get_origin(kinds[0]) is tuple:
        parser.add_argument(option_name(name), action="append", metavar="VALUE", help=text)
    else:
        kind = int if kinds == [int] else str
        parser.add_argument(option_name(name), type=kind, metavar="N" if kind is int else "VALUE", help=text)


def _alternatives(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)
