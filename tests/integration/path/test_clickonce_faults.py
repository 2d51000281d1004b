"""A run over a published folder is killed at random moments: each file is the original or complete, a manifest that is
signed fits its files, the same command completes it, and no content is paid for twice.

CI runs one with a fixed seed; KSPSIGN_FAULTS=50 is what `make faults` runs, with seeds of its own.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.certificates import shared_key
from support.formats.clickonce_judge import judge
from support.formats.clickonce_samples import publish
from support.keylocker_bench import Bench, open_bench
from support.launching import Launcher
from support.samples import assert_no_leftovers, kspsign
from support.timestamping.server import Stamping

TIMES = int(os.environ.get("KSPSIGN_FAULTS", "1"))
SEEDS = [secrets.randbits(32) if "KSPSIGN_FAULTS" in os.environ else 20260812 + number for number in range(TIMES)]
APPLICATIONS = 2
JOBS = 4
"""Signatures on their way at once, at most: what the key store made and a killed run had no time to keep."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, authority: EmbeddedAuthority) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("clickonce-faults"), authority, latency=0.05, key=shared_key(0)) as bench:
        yield bench


def published(bench: Bench) -> dict[Path, bytes]:
    """Fresh applications that share their payload, a fresh store, and nothing spent."""
    for folder in (bench.dist, bench.store):
        shutil.rmtree(folder, ignore_errors=True)
    bench.host.world.signed.clear()
    for number in range(APPLICATIONS):
        publish(bench.dist / str(number), vsto=number == 1)
    return {path: path.read_bytes() for path in bench.dist.rglob("*") if path.is_file()}


def arguments(bench: Bench, url: str) -> list[str]:
    """What signs all of them."""
    return [
        *("sign", ".", "--folder", str(bench.dist), "--jobs", str(JOBS)),
        *("--key-store", "keylocker", "--keypair-alias", "release", "--trust-root", str(bench.roots)),
        *("--store", str(bench.store), "--timestamp-url", url),
    ]


@pytest.fixture(scope="module")
def undisturbed(bench: Bench, stamping: Stamping, launcher: Launcher) -> tuple[float, int]:
    """How long a run takes that nobody disturbs, and how many files it changes."""
    made = published(bench)
    ended = launcher.run(arguments(bench, stamping.url), None, environment=bench.host.environment)
    assert ended.code == 0
    return ended.seconds, complete(bench, made)


def complete(bench: Bench, made: dict[Path, bytes]) -> int:
    """How many files are signed; the others have their bytes."""
    changed = [path for path, content in made.items() if path.read_bytes() != content]
    if changed:
        names = (path.relative_to(bench.dist).as_posix() for path in changed)
        run = kspsign("verify", *names, "--trust-root", bench.roots, "--folder", bench.dist, folder=bench.folder)
        assert run.code == 0, run.text
        assert len(run.files) == len(changed)
    return len(changed)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_and_run_again(
    bench: Bench, stamping: Stamping, launcher: Launcher, undisturbed: tuple[float, int], seed: int
) -> None:
    duration, signed = undisturbed
    made = published(bench)
    moment = duration * random.Random(seed).uniform(0.3, 1.0)  # noqa: S311 - moments, no secrets
    killed = launcher.run(arguments(bench, stamping.url), moment, environment=bench.host.environment)
    assert killed.code in {0, -signal.SIGKILL}
    assert complete(bench, made) <= signed
    again = launcher.run(arguments(bench, stamping.url), None, environment=bench.host.environment)
    assert again.code == 0
    assert complete(bench, made) == signed
    assert_no_leftovers(bench.dist)
    for path in bench.dist.rglob("*"):
        if path.suffix in {".manifest", ".application", ".vsto"}:
            assert judge(path).ok, path
    times = Counter(bench.host.world.signed)
    assert sum(times.values()) - len(times) <= JOBS, "a signature that had arrived was not kept"
    last = launcher.run(arguments(bench, stamping.url), None, environment=bench.host.environment)
    assert (last.code, Counter(bench.host.world.signed)) == (0, times), "a third run has nothing to do"
