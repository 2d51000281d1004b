"""Reads and checks a policy file; errors name the line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kspsign.model.errors import ConfigurationError
from kspsign.model.run_facts import PolicyFacts
from kspsign.settings.faults import fault_text
from kspsign.settings.model import Settings
from kspsign.settings.yaml_file import Location, YamlFile, read_yaml
from kspsign.verifying.policy.judge import Judge
from kspsign.verifying.policy.model import Policy

_SIGNING_COMMANDS = frozenset({"run", "sign"})


def read_policy(path: Path, settings: Settings) -> Judge:
    """What judges files by the policy at `path`; raises as open_policy says."""
    document = _read(path)
    try:
        policy = Policy.model_validate(document.value)
    except ValidationError as invalid:
        raise _wrong("; ".join(_faults(invalid, document)), path) from invalid
    judge = Judge(policy, PolicyFacts(policy.name or path.name, document.sha256))
    _check_agreement(settings, policy, judge.facts.name)
    return judge


def _check_agreement(settings: Settings, policy: Policy, name: str) -> None:
    """Refuse settings by which nothing could ever pass, before a signature is spent."""
    if settings.no_timestamp and policy.timestamp.required:
        raise ConfigurationError(
            f"--no-timestamp, but the policy {name} asks for timestamps",
            code="POLICY",
            remedy="Leave --no-timestamp out, or write `timestamp: {required: false}` into the policy.",
        )
    if settings.command in _SIGNING_COMMANDS and settings.digest not in policy.algorithms.digests:
        raise ConfigurationError(
            f"--digest {settings.digest}, but the policy {name} takes {', '.join(policy.algorithms.digests)} only",
            code="POLICY",
            remedy="Sign with a digest that the policy takes.",
        )


def _read(path: Path) -> YamlFile:
    try:
        return read_yaml(path, lambda message: _wrong(message, path))
    except FileNotFoundError as missing:
        raise ConfigurationError(
            "the policy file does not exist", code="POLICY", remedy="Correct --policy.", file=str(path)
        ) from missing


def _faults(invalid: ValidationError, document: YamlFile) -> Iterator[str]:
    """Each fault with its line. Of a list whose items are wrong only these are named: pydantic leaves them out and then
    finds the list empty, which it is not."""
    errors = invalid.errors(include_url=False, include_input=False)
    wrong = [error["loc"] for error in errors]
    for error in errors:
        at = error["loc"]
        if not any(len(other) > len(at) and other[: len(at)] == at for other in wrong):
            yield _fault(error, document)


def _fault(error: Mapping[str, Any], document: YamlFile) -> str:
    location: Location = error["loc"]
    text = "there is no such key" if error["type"] == "extra_forbidden" else fault_text(error)
    key = ".".join(str(part) for part in location)
    return f"line {document.line_of(location)}: {key}: {text}" if key else text


def _wrong(message: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        message,
        code="POLICY",
        remedy="Correct the named lines; docs/how-to/policy.md explains each key, `kspsign schema policy` lists them.",
        file=str(path),
    )
