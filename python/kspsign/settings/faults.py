"""What is wrong with settings, in words: each fault with its setting, which is named as an option.

Options are rendered where a message is read: as inputs of the task or the action by `publishing.setting_words`, and as
keys of the configuration file, with their lines, by `settings.resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from kspsign.model.errors import ConfigurationError

_TEXTS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "string_type": "must be a text",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "missing": "is missing",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "json_invalid": "it is not JSON: {error}",
    "string_pattern_mismatch": "does not have the form {pattern}",
}
"""pydantic's kinds of faults that users meet, in words of ours; in braces are its bounds, never the input."""


def option_name(field: str) -> str:
    """The CLI option of a settings field, e.g. timestamp_url -> --timestamp-url."""
    return "--" + field.replace("_", "-")


def faults(invalid: ValidationError) -> Iterator[tuple[str, str]]:
    """Each fault as the setting's name ("" for what concerns several) and what is wrong with it; never the value."""
    for error in invalid.errors(include_url=False, include_input=False):
        yield ".".join(str(part) for part in error["loc"]), fault_text(error)


def fault_text(error: Mapping[str, Any]) -> str:
    """What one of pydantic's faults says, without the value."""
    text = _TEXTS.get(str(error["type"]))
    if text is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return text.format(**error.get("ctx", {}))


def wrong_settings(found: Iterable[tuple[str, str]]) -> ConfigurationError:
    """The error for these faults, each with the name of its setting as its reader writes it, or ""."""
    return ConfigurationError(
        "; ".join(f"{place}: {text}" if place else text for place, text in dict.fromkeys(found)),
        remedy="Correct what is named; `kspsign help COMMAND` and docs/reference/configuration.md list each setting's "
        "values.",
    )
