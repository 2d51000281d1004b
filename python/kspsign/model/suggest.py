"""The known name that a mistyped one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(wrong: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> tuple[str, ...]:
    """Those of `known` that are nearest to `wrong`, best first: the same in another case, else similar ones.

    `cutoff` is the least similarity, from 0 to 1 (`difflib`). Case and surrounding spaces are ignored.
    """
    import difflib  # noqa: PLC0415 - of mistakes alone

    folded: dict[str, list[str]] = {}
    for name in sorted(set(known)):
        folded.setdefault(name.casefold(), []).append(name)
    wanted = wrong.strip().casefold()
    near = [wanted] if wanted in folded else difflib.get_close_matches(wanted, folded, n=most, cutoff=cutoff)
    return tuple(name for key in near for name in folded[key])[:most]


def did_you_mean(wrong: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> str:
    """The question "Did you mean X? " for the start of a remedy; empty when nothing is near."""
    near = suggest(wrong, known, most=most, cutoff=cutoff)
    return f"Did you mean {' or '.join(near)}? " if near else ""
