"""The contract of a key store whose service can fail: of every way, outcome, signatures that are spent, and journal.

A stand-in has `interfere`, which may answer in the service's place, and `hang_up`, after which its answer is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from support.formats.peimages import build_pe
from support.key_vault.answers import Request, Response
from support.samples import Run, assert_no_leftovers

PAGE = Response(200, b"<html><head><title>Sign in</title></head>Proxy</html>", {"Content-Type": "text/html"})
AT_ONCE = {"Retry-After": "0"}
LOST = "SIGNATURE_MAY_BE_SPENT"
Which = Callable[[Request], bool]


class Failing(Protocol):
    """A stand-in that can fail."""

    interfere: Callable[[Request], Response | None]
    hang_up: Callable[[Request], bool]


Stand = TypeVar("Stand", bound=Failing)
SetUp = Callable[[Any], None]


@dataclass(frozen=True)
class Case:
    """`set_up` prepares the stand-in; `files` are asked for, all at once or in `jobs`.

    `spent` is what the service counts, `used` what the run says, None: the same. `words` are in what is printed.
    """

    set_up: SetUp
    code: int
    error: str | None = None
    spent: int = 0
    used: int | None = None
    files: int = 1
    words: tuple[str, ...] = ()


def answering(which: Which, response: Response, times: int = 1 << 30) -> SetUp:
    """The service answers so, the first `times` times."""

    def set_up(stand: Failing) -> None:
        left = [times]

        def interfere(request: Request) -> Response | None:
            if not which(request) or left[0] == 0:
                return None
            left[0] -= 1
            return response

        stand.interfere = interfere

    return set_up


def hanging_up(which: Which, times: int) -> SetUp:
    """The service acts, and its answer is lost."""

    def set_up(stand: Failing) -> None:
        left = [times]

        def hang_up(request: Request) -> bool:
            left[0] -= which(request)
            return which(request) and left[0] >= 0

        stand.hang_up = hang_up

    return set_up


def garbled(which: Which, work: Callable[[Any, Request], Response], **fields: Any) -> SetUp:
    """What the service answers by `work`, with these fields changed; None takes one away."""

    def set_up(stand: Failing) -> None:
        def interfere(request: Request) -> Response | None:
            if not which(request):
                return None
            content = {**work(stand, request).content, **fields}
            return Response(200, {name: value for name, value in content.items() if value is not None})

        stand.interfere = interfere

    return set_up


def before(which: Which, change: Callable[[], object]) -> Callable[[Request], Response | None]:
    """An `interfere` that changes something before the service acts on such a request."""

    def interfere(request: Request) -> Response | None:
        if which(request):
            change()
        return None

    return interfere


def fill(folder: Path, count: int) -> dict[str, bytes]:
    """Files to sign, and what they hold."""
    for number in range(count):
        (folder / f"{number:02}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    return {path.name: path.read_bytes() for path in folder.glob("*.dll")}


def hold(case: Case, run: Run, folder: Path, unsigned: dict[str, bytes], spent: int) -> None:
    """Assert the outcome: exit code, each file's error, signatures counted here and there, an empty journal, no file
    half signed."""
    assert run.code == case.code, run.text
    assert spent == case.spent, run.text
    assert all(word in run.text for word in case.words), run.text
    if case.code in {3, 5}:
        assert run.report["error"]["code"] == case.error, run.text
    else:
        codes = {file["error"]["code"] for file in run.report["files"] if file["error"]}
        assert codes == ({case.error} if case.error else set()), run.text
        assert run.report["totals"]["signatures_used"] == (case.spent if case.used is None else case.used), run.text
    assert list((folder / "store").rglob("*.journal")) == []
    assert_no_leftovers(folder)
    if case.code > 1:
        assert unsigned == {path.name: path.read_bytes() for path in folder.glob("*.dll")}


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    return dict(json.loads(request.body))
