"""A nested run is killed at random moments: every container is the original or complete, no content is paid for twice.

CI runs a handful with fixed seeds; KSPSIGN_FAULTS=50 is what `make faults` runs, with seeds of its own.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from support.formats.appx_samples import Package
from support.formats.nested import entries, image, zipped
from support.keylocker_bench import Bench
from support.launching import Launcher
from support.samples import assert_no_leftovers, kspsign
from support.timestamping.server import Stamping

TIMES = int(os.environ.get("KSPSIGN_FAULTS", "2"))
SEEDS = [secrets.randbits(32) if "KSPSIGN_FAULTS" in os.environ else 20260331 + number for number in range(TIMES)]
PACKAGES, LIBRARIES = 4, 5
JOBS = 4
"""Signatures on their way at once, at most: what the key store made and a killed run had no time to keep."""


def containers(bench: Bench) -> dict[Path, bytes]:
    """Fresh archives and packages that share libraries, a fresh store, and nothing spent."""
    for folder in (bench.dist, bench.store):
        shutil.rmtree(folder, ignore_errors=True)
    bench.dist.mkdir()
    bench.host.world.signed.clear()
    made: dict[Path, bytes] = {}
    for number in range(PACKAGES):
        libraries = {f"lib/{index}.dll": image(number + index) for index in range(LIBRARIES)}
        made[bench.dist / f"{number}.zip"] = zipped({**libraries, "in/inner.zip": zipped({"shared.dll": image(0)})})
        inside = {f"{index}.dll": image(number * index) for index in range(3)}
        made[bench.dist / f"{number}.msix"] = Package(files=inside, publisher="CN=Example Ltd").build()
    for path, content in made.items():
        path.write_bytes(content)
    return made


def arguments(bench: Bench, url: str) -> list[str]:
    """What signs all of them, inside and outside."""
    return [
        *("sign", "*.zip", "*.msix", "--inside", "--folder", str(bench.dist), "--jobs", str(JOBS)),
        *("--key-store", "keylocker", "--keypair-alias", "release", "--trust-root", str(bench.roots)),
        *("--store", str(bench.store), "--timestamp-url", url),
    ]


@pytest.fixture(scope="module")
def duration(bench: Bench, stamping: Stamping, launcher: Launcher) -> float:
    """How long an undisturbed run takes."""
    containers(bench)
    ended = launcher.run(arguments(bench, stamping.url), None, environment=bench.host.environment)
    assert ended.code == 0
    return ended.seconds


def complete(bench: Bench, made: dict[Path, bytes]) -> int:
    """How many containers are signed, inside and outside; the others have their bytes."""
    changed = [path for path, content in made.items() if path.read_bytes() != content]
    if changed:
        chosen = ("--trust-root", bench.roots, "--folder", bench.dist, "--inside")
        run = kspsign("verify", *(path.name for path in changed), *chosen, folder=bench.folder)
        assert run.code == 0, run.text
        inside = sum(path.suffix == ".zip" for path in changed) * (LIBRARIES + 2)
        assert len(run.files) == len(changed) + inside + sum(path.suffix == ".msix" for path in changed) * 3
    return len(changed)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_inside_and_run_again(
    bench: Bench, stamping: Stamping, launcher: Launcher, duration: float, seed: int
) -> None:
    made = containers(bench)
    moment = duration * random.Random(seed).uniform(0.2, 1.0)  # noqa: S311 - moments, no secrets
    killed = launcher.run(arguments(bench, stamping.url), moment, environment=bench.host.environment)
    assert killed.code in {0, -signal.SIGKILL}
    complete(bench, made)
    kept = bench.kept
    again = launcher.run(arguments(bench, stamping.url), None, environment=bench.host.environment)
    assert again.code == 0
    assert complete(bench, made) == len(made)
    assert_no_leftovers(bench.dist)
    assert entries(bench.dist / "0.zip").keys() == entries(made[bench.dist / "0.zip"]).keys()
    times = Counter(bench.host.world.signed)
    twice = {digest for digest, count in times.items() if count > 1}
    assert not twice & kept, "a signature that had been kept was asked for again"
    assert len(twice) <= JOBS, "a signature that had arrived was not kept"
    libraries = {number + index for number in range(PACKAGES) for index in range(LIBRARIES)}
    libraries |= {number * index for number in range(PACKAGES) for index in range(3)}
    # The digest of a package depends on the timestamps in it: one that was on its way is signed again as another.
    assert len(libraries) + PACKAGES <= len(times) <= len(libraries) + 2 * PACKAGES
