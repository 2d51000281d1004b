"""`make bench`: many files, beside osslsigncode in its best form, against bounds; `--write` makes the documentation's.

`--only WORD` takes the groups whose name has the word, `--rounds N` changes how often short lines are measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.measuring import KSPSIGN, Line, Service, Taken, at_most, faster_than, measure, run, table
from integration.peimages import build_pe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of what was measured -->\n"
SMALL, PART, MANY = 1000, 100, 10_000
CEILING, KEY_STORE_SECONDS, STAMP_SECONDS = 32, 1.0, 0.2
THROTTLED_AT, THROTTLED_FILES = 8, 400
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Place:
    """A folder with an embedded authority, small images to copy, and what signs them."""

    folder: Path
    thumbprint: str

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def fresh(self, count: int) -> None:
        """`count` unsigned images in the work folder, all different; nothing in the folder of results."""
        for folder in (self.work, self.out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        image = build_pe()
        for number in range(count):
            (self.work / f"{number:05}.dll").write_bytes(image + number.to_bytes(8, "little"))

    def ours(self, *options: str, command: str = "sign") -> list[str]:
        """kspsign over the work folder with the local key."""
        chosen = ["--thumbprint", self.thumbprint, "--store", str(self.store)] if command == "sign" else []
        report = ["--report", str(self.folder / "report.json")]
        return [*KSPSIGN, command, str(self.work), *chosen, *options, *report, "--quiet"]

    def peer(self, *options: str) -> str:
        """osslsigncode for one file of the work folder, as a line of shell with {} for its name."""
        key = [str(self.store / "embedded" / name) for name in ("leaf.pem", "leaf.key")]
        sign = ["osslsigncode", "sign", "-certs", key[0], "-key", key[1], "-h", "sha256", *options]
        return f"{shlex.join(sign)} -in {self.work}/{{}} -out {self.out}/{{}}"

    def loop(self, line: str) -> Taken:
        """The peer, one file after the other."""
        return run(["bash", "-ec", f"for name in $(ls {self.work}); do {line.replace('{}', '$name')}; done"])

    def side_by_side(self, line: str) -> Taken:
        """The peer, eight at a time."""
        return run(["bash", "-ec", f"ls {self.work} | xargs -P8 -I{{}} {line}"])


def local(place: Place) -> Iterator[Line]:
    """A local key, so that all that counts is work of this machine."""
    fresh, line = partial(place.fresh, SMALL), place.peer()
    yield Line(f"osslsigncode loop, {SMALL} small PE", partial(place.loop, line), fresh)
    peer = f"osslsigncode xargs -P8, {SMALL} small PE"
    yield Line(peer, partial(place.side_by_side, line), fresh)
    yield Line(
        f"kspsign, {SMALL} small PE, each verified",
        lambda: run(place.ours("--no-timestamp")),
        fresh,
        faster_than(peer),
    )


def stamped(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """A local key and a timestamp server of 200 ms."""
    authority = str(place.store / "embedded")
    server = services.enter_context(Service("quick stamps", authority=authority, latency=STAMP_SECONDS))
    url = server.told["url"]
    line = place.peer("-ts", url)
    loop = f"osslsigncode loop, {SMALL} small PE, timestamp server of 200 ms (from {PART})"
    yield Line(loop, partial(place.loop, line), partial(place.fresh, PART), scale=SMALL / PART)
    peer = f"osslsigncode xargs -P8, {SMALL} small PE, timestamp server of 200 ms"
    yield Line(peer, partial(place.side_by_side, line), partial(place.fresh, SMALL))

    def bound(measured: float, medians: object) -> tuple[str, bool]:
        (beside, first), (after, second) = (
            faster_than(name, times)(measured, medians)  # type: ignore[arg-type]
            for name, times in ((peer, 5.0), (loop, 25.0))
        )
        return f"{beside}; {after}", first and second

    yield Line(
        f"kspsign, {SMALL} small PE, timestamp server of 200 ms, each verified",
        lambda: run(place.ours("--timestamp-url", url)),
        partial(place.fresh, SMALL),
        bound,
    )


def paid(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """A key store of 1 s and a timestamp server of 200 ms."""
    signing = PaidSigning(place, services)
    ideal = SMALL / CEILING * KEY_STORE_SECONDS
    name = f"kspsign, {SMALL} small PE, key store of 1 s, timestamp server of 200 ms"
    yield Line(
        name,
        signing.go,
        partial(place.fresh, SMALL),
        at_most(1.15 * ideal + 2, f"1.15 x {ideal:.1f} s + 2 s: {CEILING} in flight"),
        note=signing.note,
        once=True,
    )

    def linear(measured: float, medians: dict[str, float]) -> tuple[str, bool]:
        times, most = measured / medians[name], many.megabytes
        held = times <= MANY / SMALL and most <= 200
        return f"at most {MANY // SMALL} times as long as {SMALL} ({times:.1f}), ≤ 200 MB", held

    many = Line(
        f"kspsign, {MANY} small PE, the same", signing.go, partial(place.fresh, MANY),
        linear,  # type: ignore[arg-type]
        note=signing.note, once=True,
    )  # fmt: skip
    yield many


class PaidSigning:
    """Runs with a KeyLocker stand-in; says what was spent."""

    def __init__(self, place: Place, services: contextlib.ExitStack, *, most: int | None = None) -> None:
        self._place = place
        self._host = services.enter_context(Service("keylocker", latency=KEY_STORE_SECONDS, most=most))
        authority = place.store / "embedded"
        self._stamps = services.enter_context(Service("quick stamps", authority=str(authority), latency=STAMP_SECONDS))
        self._roots = place.folder / "roots.pem"
        self._store = place.folder / "paid"
        chain = (place.store / "certificates" / place.thumbprint / "chain.pem").read_text(encoding="ascii")
        self._roots.write_text(
            self._host.told["root"] + "-----BEGIN" + chain.rpartition("-----BEGIN")[2], encoding="ascii"
        )
        self._spent = self._said = 0

    def go(self) -> Taken:
        """Sign what is in the work folder."""
        before = self._host.counted()["spent"]
        options = ("--key-store", "keylocker", "--keypair-alias", "release", "--store", str(self._store))
        report = ("--report", str(self._place.folder / "report.json"))
        taken = run(
            [*KSPSIGN, "sign", str(self._place.work), *options, *report, "--trust-root", str(self._roots), "--quiet",
             "--timestamp-url", self._stamps.told["url"]],
            self._host.told["environment"],
        )  # fmt: skip
        self._spent = self._host.counted()["spent"] - before
        self._said = len(list(self._place.work.iterdir()))
        return taken

    def note(self) -> str:
        """What the last run spent."""
        return f"{self._spent} signatures for {self._said} files"


def throttled(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """A key store that takes eight at once, and three timestamp servers of which one is well, but slow."""
    signing = PaidSigning(place, services, most=THROTTLED_AT)
    ideal = THROTTLED_FILES / THROTTLED_AT * KEY_STORE_SECONDS
    yield Line(
        f"kspsign, {THROTTLED_FILES} small PE, key store of 1 s that answers 429 above {THROTTLED_AT}, Retry-After 1",
        signing.go,
        partial(place.fresh, THROTTLED_FILES),
        at_most(ideal / 0.85, f"85 % of what {THROTTLED_AT} in flight can give"),
        note=signing.note,
        once=True,
    )


def moody(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """Timestamp servers: the first dead, the second fails every other request, the third slow."""
    authority = str(place.store / "embedded")
    failing = services.enter_context(Service("stamping", authority=authority, trouble="every other"))
    slow = services.enter_context(Service("stamping", authority=authority, latency=2.0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/"
    urls = [part for url in (dead, failing.told["url"], slow.told["url"]) for part in ("--timestamp-url", url)]

    def stamps() -> str:
        counts = [server.counted()["stamped"] for server in (failing, slow)]
        return f"all stamped: {counts[0]} by the second, {counts[1]} by the third"

    name = f"kspsign, {PART} small PE, servers: dead, failing every other time, 2 s slow"
    yield Line(name, lambda: run(place.ours(*urls)), partial(place.fresh, PART), note=stamps, once=True)


def large(place: Place) -> Iterator[Line]:
    """One file of a gigabyte."""

    def fresh() -> None:
        place.fresh(1)
        with (place.work / "00000.dll").open("r+b") as file:
            file.truncate(GIGABYTE)

    line = place.peer().replace("{}", "00000.dll")
    peer = "osslsigncode, one PE of 1 GB"
    yield Line(peer, lambda: run(["bash", "-ec", line]), fresh)

    def bound(measured: float, medians: object) -> tuple[str, bool]:
        text, held = faster_than(peer)(measured, medians)  # type: ignore[arg-type]
        return f"{text}; ≤ 150 MB", held and ours.megabytes <= 150

    ours = Line("kspsign, one PE of 1 GB, verified", lambda: run(place.ours("--no-timestamp")), fresh, bound)
    yield ours


def verifying(place: Place) -> Iterator[Line]:
    """Many signed files."""
    root = place.folder / "root.pem"
    signed = place.folder / "signed"

    def prepare() -> None:
        if not signed.exists():
            place.fresh(SMALL)
            run(place.ours())
            shutil.copytree(place.work, signed)
        shutil.rmtree(place.work, ignore_errors=True)
        shutil.copytree(signed, place.work)

    one = f"osslsigncode verify -CAfile {root} -TSA-CAfile {root} -in {place.work}/{{}}"
    peer = f"osslsigncode loop, {SMALL} verifications"
    yield Line(peer, partial(place.loop, one), prepare)
    yield Line(
        f"kspsign, {SMALL} verifications",
        lambda: run(place.ours("--trust-root", str(root), command="verify")),
        prepare,
        faster_than(peer),
    )


Group = Callable[[Place, contextlib.ExitStack], Iterator[Line]]


def _alone(group: Callable[[Place], Iterator[Line]]) -> Group:
    return lambda place, _services: group(place)


GROUPS: dict[str, Group] = {
    "local": _alone(local),
    "stamped": stamped,
    "large": _alone(large),
    "verifying": _alone(verifying),
    "moody": moody,
    "throttled": throttled,
    "paid": paid,
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write it where that is asked; 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as services:
        place = _place(Path(name))
        groups = [group for word, group in GROUPS.items() if given.only in word]
        lines = [line for group in groups for line in group(place, services)]
        measure(lines, given.rounds)
        shown = f"{_machine()}; medians of {given.rounds} interleaved rounds, lines over half a minute once.\n\n"
        shown += table(lines)
    sys.stdout.write(shown)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        PAGE.write_text(f"{head}{shown}{tail}", encoding="utf-8", newline="\n")
    return int("**no**" in shown)


def _place(folder: Path) -> Place:
    store = folder / "store"
    run([*KSPSIGN, "certsync", "--key-store", "embedded", "--store", str(store)])
    thumbprint = next((store / "certificates").iterdir()).name
    chain = (store / "certificates" / thumbprint / "chain.pem").read_text(encoding="ascii")
    (folder / "root.pem").write_text("-----BEGIN" + chain.rpartition("-----BEGIN")[2], encoding="ascii")
    return Place(folder, thumbprint)


def _machine() -> str:
    peer = subprocess.run(["osslsigncode", "--version"], capture_output=True, text=True, check=False).stdout
    versions = f"Python {platform.python_version()}, {peer.splitlines()[0].rstrip(',')}" if peer else ""
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, {versions}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
