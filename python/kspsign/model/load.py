"""Late imports: an attribute named by a string in a table, its module imported when it is needed (ADR 0011)."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(target: str) -> Any:
    """The attribute that `target` ("module:attribute") names. Raises ImportError or AttributeError."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
