"""What is measured, group by group: each line with its peer and its bound."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.inside_lines import inside
from bench.measuring import KSPSIGN, Line, Service, Taken, at_most, faster_than, run
from bench.place import Place
from bench.scale_lines import flat, reconciliation, release_folder, selection
from bench.store_lines import stores
from support.formats.compound_builder import MSI, Folder, Zeros, write_compound

SMALL, PART, MANY = 1000, 100, 10_000
CEILING, KEY_STORE_SECONDS, STAMP_SECONDS = 32, 1.0, 0.2
THROTTLED_AT, THROTTLED_FILES = 8, 400
GIGABYTE = 1 << 30
STARTS = 5
CANCEL_SECONDS = 2.0


def startup(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """One file: what starting costs."""
    fresh = partial(place.fresh, 1)
    yield Line("python -c pass", lambda: run([sys.executable, "-c", "pass"]), times=STARTS)
    bounds = at_most(0.25, "a whole process"), at_most(0.6, "a whole process")
    yield Line("kspsign --version", lambda: run([*KSPSIGN, "--version"]), bound=bounds[0], times=STARTS)
    name = "kspsign, one small PE, timestamp, verified"
    yield Line(name, lambda: run(place.ours()), fresh, bounds[1], times=STARTS)
    yield Line(
        "kspsign, one small PE, no timestamp, verified",
        lambda: run(place.ours("--no-timestamp")),
        fresh,
        at_most(0.2, "a whole process"),
        times=STARTS,
    )

    def signed() -> None:
        place.fresh(1)
        run(place.ours("--no-timestamp"))

    root = str(place.folder / "root.pem")
    yield Line(
        "kspsign verify, one small PE",
        lambda: run(place.ours("--trust-root", root, "--no-timestamp", command="verify")),
        signed,
        at_most(0.18, "a whole process"),
        times=STARTS,
    )
    line = place.peer().replace("{}", "00000.dll")
    yield Line("osslsigncode, one small PE, no timestamp", lambda: run(["bash", "-ec", line]), fresh, times=STARTS)


def local(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
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

    def bound(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        (beside, first), (after, second) = (
            faster_than(name, times)(measured, medians) for name, times in ((peer, 5.0), (loop, 25.0))
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

    def linear(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        times, most = measured / medians[name], many.megabytes
        held = times <= MANY / SMALL and most <= 200
        return f"at most {MANY // SMALL} times as long as {SMALL} ({times:.1f}), ≤ 200 MB", held

    many = Line(
        f"kspsign, {MANY} small PE, the same", signing.go, partial(place.fresh, MANY),
        linear,
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
        own = Path(tempfile.mkdtemp(dir=place.folder))
        self._roots, self._store = own / "roots.pem", own / "store"
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


def large(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """One file of a gigabyte, as a build that has just ended leaves it: on the disk and in memory."""

    def fresh() -> None:
        place.fresh(1)
        piece = os.urandom(1 << 20)
        with (place.work / "00000.dll").open("ab") as file:
            while file.tell() < GIGABYTE:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        _touch_memory()

    line = place.peer().replace("{}", "00000.dll")
    result, target = place.out / "00000.dll", place.work / "00000.dll"
    peer, moved = "osslsigncode, one PE of 1 GB", "osslsigncode, one PE of 1 GB, moved to its place"
    yield Line(peer, lambda: run(["bash", "-ec", line]), fresh)
    yield Line(moved, lambda: run(["bash", "-ec", f"{line}; mv {result} {target}"]), fresh)
    proof = f"osslsigncode verify -CAfile {place.folder / 'root.pem'} -in {result}"
    yield Line(f"{peer}, verified", lambda: run(["bash", "-ec", f"{line}; {proof}"]), fresh)

    def bound(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        compared, faster = faster_than(moved, 1.25)(measured, medians)
        return f"{compared}; ≤ 150 MB", faster and ours.megabytes <= 150

    name = "kspsign, one PE of 1 GB, verified, in its place"
    ours = Line(name, lambda: run(place.ours("--no-timestamp")), fresh, bound)
    yield ours


def large_package(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """One Windows Installer package of a gigabyte."""

    def fresh() -> None:
        place.fresh(0)
        write_compound(place.work / "setup.msi", Folder({"cab": Zeros(GIGABYTE)}, MSI), major=4)
        _touch_memory()

    line, peer = place.peer().replace("{}", "setup.msi"), "osslsigncode, one MSI of 1 GB"
    yield Line(peer, lambda: run(["bash", "-ec", line]), fresh)
    name = "kspsign, one MSI of 1 GB, verified, in its place"
    yield Line(name, lambda: run(place.ours("--no-timestamp")), fresh, faster_than(peer))


def _touch_memory() -> None:
    """Memory that a virtual machine has not touched for a while costs more than the work that is measured."""
    run([sys.executable, "-c", f"b'x' * {3 * GIGABYTE}"])


def verifying(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
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
    parallel = f"osslsigncode xargs -P2, {SMALL} verifications"
    yield Line(parallel, partial(place.side_by_side, one, 2), prepare)

    def bound(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        held = [faster_than(name)(measured, medians) for name in (peer, parallel)]
        return "; ".join(text for text, _ in held), all(holds for _, holds in held)

    yield Line(
        f"kspsign, {SMALL} verifications",
        lambda: run(place.ours("--trust-root", str(root), command="verify")),
        prepare,
        bound,
    )


def cancelled(place: Place, services: contextlib.ExitStack) -> Iterator[Line]:
    """Runs that are told to end: while their timestamp server hangs, and while a file as large as can be is hashed."""
    authority = str(place.store / "embedded")
    hanging = services.enter_context(Service("quick stamps", authority=authority, latency=3600.0))

    def measure(moment: float, *options: str) -> Taken:
        process = subprocess.Popen([*place.ours(*options)], stdout=subprocess.DEVNULL)
        time.sleep(moment)
        told = time.perf_counter()
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        seconds = time.perf_counter() - told
        report = json.loads((place.folder / "report.json").read_text(encoding="utf-8"))
        if (code, report["error"]["code"], report["totals"]["signed"]) != (130, "CANCELLED", 0):
            raise SystemExit(f"a cancelled run ended with {code}")
        return Taken(seconds, 0.0)

    def huge() -> None:
        place.fresh(1)
        os.truncate(place.work / "00000.dll", 4 * GIGABYTE - (1 << 20))

    bound = at_most(CANCEL_SECONDS, "with its report")
    yield Line(
        f"kspsign, {SMALL} small PE, from SIGINT to the end, timestamp server hangs",
        lambda: measure(3, "--timestamp-url", hanging.told["url"]),
        partial(place.fresh, SMALL),
        bound,
    )
    name = "kspsign, one PE of 4 GB, from SIGINT to the end"
    yield Line(name, lambda: measure(1.5, "--no-timestamp"), huge, bound)


Group = Callable[[Place, contextlib.ExitStack], Iterator[Line]]
GROUPS: dict[str, Group] = {
    "startup": startup,
    "local": local,
    "stamped": stamped,
    "large": large,
    "large package": large_package,
    "verifying": verifying,
    "release folder": release_folder,
    "inside": inside,
    "cancelled": cancelled,
    "moody": moody,
    "throttled": throttled,
    "paid": paid,
    "stores": stores,
    "selection": selection,
    "flat": flat,
    "reconciliation": reconciliation,
}
ON_DEMAND = frozenset({"selection", "flat", "reconciliation"})
"""Groups that are measured when they are named: they write a million names, a hundred thousand files and a gigabyte."""
