"""Names of what is imported when it is used, as the tables of key stores, formats and outputs have them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def imported(target: str) -> Any:
    """What "module:attribute" names. Raises ImportError or AttributeError when there is none."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
