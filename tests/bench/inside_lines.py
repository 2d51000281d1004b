"""What signing inside containers takes, beside signing the same files on their own; see lines.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial

from bench.measuring import Line, Service, run
from bench.place import Place
from support.formats.nested import nuget
from support.formats.peimages import build_pe

PACKAGES, LIBRARIES = 50, 20
MOST, STAMP_SECONDS = 1.3, 0.2
_FILLING = 100_000
"""Bytes of each library besides its code."""


def inside(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """A thousand libraries in fifty packages, with a local key and a timestamp server of 200 ms."""
    authority = str(place.store / "embedded")
    url = services.enter_context(Service("quick stamps", authority=authority, latency=STAMP_SECONDS)).told["url"]
    image = build_pe(overlay=bytes(index * index % 251 for index in range(_FILLING)))
    libraries = [image + number.to_bytes(8, "little") for number in range(PACKAGES * LIBRARIES)]
    packages = [
        nuget({f"lib/{index}.dll": libraries[number * LIBRARIES + index] for index in range(LIBRARIES)})
        for number in range(PACKAGES)
    ]

    def prepare(*, beside: bool) -> None:
        place.fresh(0)
        for number, content in enumerate(packages):
            (place.work / f"{number:02}.nupkg").write_bytes(content)
        for number, content in enumerate(libraries if beside else ()):
            (place.work / f"{number:04}.dll").write_bytes(content)

    apart = f"kspsign, {len(libraries)} libraries and {PACKAGES} packages, apart, each verified"
    yield Line(apart, lambda: run(place.ours("--timestamp-url", url)), partial(prepare, beside=True))

    def bound(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        times = measured / medians[apart]
        return f"at most {MOST} times as long as apart ({times:.2f})", times <= MOST

    name = f"kspsign --inside, the {len(libraries)} libraries in the {PACKAGES} packages, each verified"
    yield Line(name, lambda: run(place.ours("--timestamp-url", url, "--inside")), partial(prepare, beside=False), bound)
