"""The project's own Python sources, each read and parsed once per test process: many tests look through all of them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def text_of(path: Path) -> str:
    """The text of a source."""
    return path.read_text(encoding="utf-8")


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a source, the module first, in the order of `ast.walk`."""
    return tuple(ast.walk(ast.parse(text_of(path))))
