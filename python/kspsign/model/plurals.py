"""Numbers with their nouns."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """`number` with its noun in singular or plural: "1 file", "40 files"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
