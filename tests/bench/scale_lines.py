"""What is measured of folders that are larger than any other line's; see lines.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from bench.measuring import KSPSIGN, Line, Taken, run
from bench.place import Place
from bench.trees import write_release, write_tree
from support.key_logs.scale import write_scale

FEW, MANY, HUGE = 100, 10_000, 100_000
NAMES, FOLDERS, ENDINGS = 1_000_000, 2000, 100
RECORDS, LEDGERS, SIGNATURES = 1_000_000, 2000, 100
Bound = Callable[[float, Mapping[str, float]], tuple[str, bool]]


def release_folder(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """What a release looks like: programs, scripts, packages of Windows Installer, cabinets and NuGet, apps."""
    root = str(place.folder / "root.pem")

    def prepare() -> None:
        place.fresh(0)
        write_release(place.work, MANY)

    name = f"kspsign, {MANY} files of seven formats, signed, each verified"
    yield Line(name, lambda: run(place.ours("--no-timestamp")), prepare, once=True)

    def check() -> Taken:
        return run(place.ours("--trust-root", root, "--no-timestamp", command="verify"))

    yield Line(f"kspsign verify, the same {MANY} files", check, once=True)


def flat(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """Memory and time that a hundred thousand files take, with every report that there is."""
    reports = ("--junit", str(place.folder / "junit.xml"), "--summary", str(place.folder / "summary.md"))

    def sign() -> Taken:
        return run(place.ours("--no-timestamp", *reports))

    def sizes() -> str:
        found = {name: (place.folder / name).stat().st_size for name in ("report.json", "junit.xml", "summary.md")}
        return ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in found.items())

    def line(count: int, bound: Bound | None = None) -> Line:
        name = f"kspsign, {count} small PE, all reports"
        return Line(name, sign, partial(place.fresh, count), bound, sizes, once=True)

    few, some = line(FEW), line(MANY)
    yield few
    yield some

    def bound(measured: float, medians: Mapping[str, float]) -> tuple[str, bool]:
        times, more = measured / medians[some.name], huge.megabytes - few.megabytes
        asked = f"at most {HUGE // MANY} times as long as {MANY} ({times:.1f}), ≤ 150 MB more than {FEW} ({more:.0f})"
        return asked, times <= HUGE / MANY and more <= 150

    huge = line(HUGE, bound)
    yield huge


def selection(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """A million files below a folder and ten patterns, of which the last takes back what the others chose: nothing but
    the selection is measured."""
    tree = place.folder / "tree"

    def prepare() -> None:
        if not tree.exists():
            write_tree(tree, FOLDERS, NAMES // FOLDERS, ENDINGS)

    chosen = [f"**/*.{number}" for number in range(5)]
    patterns = [*chosen, "!**/obj*/**", "project1/**/*.5", "**/file0007.7", "!**/*.{0,1}", "!**/*.{2,3,4,5,7}"]
    command = [*KSPSIGN, "sign", *patterns, "--folder", str(tree), "--thumbprint", place.thumbprint, "--quiet"]

    def bound(measured: float, _medians: Mapping[str, float]) -> tuple[str, bool]:
        return "≤ 10 s, ≤ 300 MB", measured <= 10 and line.megabytes <= 300

    line = Line(
        f"kspsign, selection among {NAMES} files by {len(patterns)} patterns, {NAMES // ENDINGS * len(chosen)} chosen",
        lambda: run([*command, "--store", str(place.store)], expect=4),
        prepare, bound, once=True,
    )  # fmt: skip
    yield line


def reconciliation(place: Place, _services: contextlib.ExitStack) -> Iterator[Line]:
    """A log of a million records, of which a fifth are uses of the key, against the ledgers of 2,000 builds."""
    folder = place.folder / "reconciliation"

    def prepare() -> None:
        if not folder.exists():
            write_scale(folder, LEDGERS, SIGNATURES, RECORDS)

    command = [*KSPSIGN, "reconcile", "--ledger", str(folder / "ledgers"), "--key-log", str(folder / "log.json")]

    def bound(measured: float, _medians: Mapping[str, float]) -> tuple[str, bool]:
        return "≤ 60 s, ≤ 500 MB", measured <= 60 and line.megabytes <= 500

    line = Line(
        f"kspsign reconcile, {RECORDS} records of a log, {LEDGERS} ledgers with {LEDGERS * SIGNATURES} signatures",
        lambda: run([*command, "--report", str(folder / "report.json")], expect=8),
        prepare, bound, once=True,
    )  # fmt: skip
    yield line
