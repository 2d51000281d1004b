"""What the tests of key services share: how a stand-in is made to fail, and what a run must make of that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.formats.peimages import build_pe
from support.samples import Run, assert_no_leftovers

AT_ONCE = {"Retry-After": "0"}
PAGE = b"<html><head><title>Sign in</title></head>Proxy</html>"
Which = Callable[[Any], bool]
"""Whether a request is one of those that are meant."""
Set = Callable[[Any], None]
"""Makes a stand-in, which has `interfere` and `hang_up`, fail in one way."""


def answering(which: Which, response: object, times: int = 1 << 30) -> Set:
    """The service answers so, the first `times` times."""

    def set_up(service: Any) -> None:
        left = [times]

        def interfere(request: Any) -> object:
            if not which(request) or left[0] == 0:
                return None
            left[0] -= 1
            return response

        service.interfere = interfere

    return set_up


def hanging_up(which: Which, times: int = 1 << 30) -> Set:
    """The service acts, and its answer is lost."""

    def set_up(service: Any) -> None:
        left = [times]

        def hang_up(request: Any) -> bool:
            left[0] -= which(request)
            return which(request) and left[0] >= 0

        service.hang_up = hang_up

    return set_up


def garbled(which: Which, work: Callable[[Any, Any], Any], **fields: Any) -> Set:
    """What the service answers by `work`, with these fields changed; None takes one away."""

    def set_up(service: Any) -> None:
        def interfere(request: Any) -> object:
            if not which(request):
                return None
            answer = work(service, request)
            content = {name: value for name, value in {**answer.content, **fields}.items() if value is not None}
            return type(answer)(200, content)

        service.interfere = interfere

    return set_up


def before(which: Which, change: Callable[[], object]) -> Callable[[Any], None]:
    """What changes something before the service acts on such a request, as the stand-in's `interfere`."""

    def interfere(request: Any) -> None:
        if which(request):
            change()

    return interfere


def ways_of(world: str) -> Callable[..., Set]:
    """What sets fields of the stand-in's attribute `world`, by their names."""

    def having(**ways: Any) -> Set:
        def set_up(service: Any) -> None:
            for name, value in ways.items():
                setattr(getattr(service, world), name, value)

        return set_up

    return having


@dataclass(frozen=True)
class Case:
    """`files` are asked for; `spent` is what the service counts, `used` what the run says, None: the same.

    With code 1 a part of the files is signed. `kept` is how many operations the journal still holds.
    """

    set_up: Set
    code: int
    error: str | None = None
    spent: int = 0
    used: int | None = None
    files: int = 1
    words: tuple[str, ...] = ()
    kept: int = 0


def fill(folder: Path, count: int = 1) -> dict[str, bytes]:
    """Put `count` images to sign into `folder`; their bytes by name."""
    images = {f"{number:02}.dll": build_pe(overlay=b"image %d" % number) for number in range(count)}
    for name, content in images.items():
        (folder / name).write_bytes(content)
    return images


def check_outcome(case: Case, run: Run, folder: Path, before: Mapping[str, bytes], spent: int) -> None:
    """The run ended as the case says, counts its signatures rightly, and left files as they were or signed."""
    assert run.code == case.code, run.text
    assert spent == case.spent, run.text
    assert all(word in run.text for word in case.words), run.text
    if case.code == 5:
        assert run.report["error"]["code"] == case.error, run.text
    else:
        codes = {entry["error"] and entry["error"]["code"] for entry in run.report["files"]}
        assert codes == ({case.error, None} if case.code == 1 else {case.error}), run.text
        assert run.report["totals"]["signatures_used"] == (case.spent if case.used is None else case.used)
    assert_no_leftovers(folder)
    if case.code > 1:
        assert before == {path.name: path.read_bytes() for path in folder.glob("*.dll")}


@contextlib.contextmanager
def environment_of(values: Mapping[str, str], without: tuple[str, ...] = ()) -> Iterator[None]:
    """The variables of a run in this process, without those of the names `without`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in without:
            patch.delenv(name, raising=False)
        for name, value in values.items():
            patch.setenv(name, value)
        yield
