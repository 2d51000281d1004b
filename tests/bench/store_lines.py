"""What is measured of key stores at the latency that their services have; see lines.py."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.measuring import KSPSIGN, Line, Service, Taken, at_most, run
from bench.place import Place

FILES, CEILING, STAMP_SECONDS = 1000, 32, 0.2
STORES = {
    "key vault": ("Key Vault", 0.15),
    "artifact signing": ("Artifact Signing, polled", 1.0),
    "token": ("PKCS#11", 0),
}
"""By the service's kind: what the line calls it, and the seconds that a signature takes."""


def stores(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """A thousand files with each kind of key store, and a timestamp server of 200 ms."""
    for kind, (name, seconds) in STORES.items():
        signing = StoreSigning(place, services, kind, seconds)
        slowest = max(FILES / CEILING * seconds, FILES / (2 * CEILING) * STAMP_SECONDS)
        yield Line(
            f"kspsign, {FILES} small PE, {name}{f' of {seconds} s' if seconds else ''}, timestamp server of 200 ms",
            signing.go,
            partial(place.fresh, FILES),
            at_most(1.15 * slowest + 2, f"1.15 x {slowest:.1f} s + 2 s"),
            note=signing.note,
            once=True,
        )


class StoreSigning:
    """Runs with the stand-in of one kind of key store; says what was spent where the store counts."""

    def __init__(self, place: Place, services: contextlib.ExitStack, kind: str, seconds: float) -> None:
        self._place = place
        authority = str(place.store / "embedded")
        self._store = services.enter_context(Service("key store", store=kind, latency=seconds, authority=authority))
        self._stamps = services.enter_context(Service("quick stamps", authority=authority, latency=STAMP_SECONDS))
        own = Path(tempfile.mkdtemp(dir=place.folder))
        self._folder, self._roots = own / "store", own / "roots.pem"
        self._roots.write_text(
            self._store.told["roots"] + (place.folder / "root.pem").read_text(encoding="ascii"), encoding="ascii"
        )

    def go(self) -> Taken:
        """Sign what is in the work folder."""
        trust = ("--trust-root", str(self._roots), "--timestamp-url", self._stamps.told["url"])
        report = ("--report", str(self._place.folder / "report.json"), "--quiet")
        kept = () if "--store" in self._store.told["options"] else ("--store", str(self._folder))
        command = [*KSPSIGN, "sign", str(self._place.work), *self._store.told["options"], *trust, *report, *kept]
        return run(command, {**self._store.told["environment"], "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})

    def note(self) -> str:
        """What was spent in all."""
        spent = self._store.counted().get("spent")
        return "" if spent is None else f"{spent} signatures for {FILES} files"
