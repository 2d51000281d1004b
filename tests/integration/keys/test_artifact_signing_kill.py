"""Many files, certificates that change meanwhile, and a run that is killed again and again: nothing is paid twice.

KSPSIGN_KILL_FILES, _ROTATE, _SECONDS and _KILLS set the measure; by default it is a small one.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import ArtifactSigning
from support.formats.peimages import build_pe
from support.samples import assert_no_leftovers, kspsign_process

FILES = int(os.environ.get("KSPSIGN_KILL_FILES", "60"))
ROTATE = int(os.environ.get("KSPSIGN_KILL_ROTATE", "7"))
SECONDS = float(os.environ.get("KSPSIGN_KILL_SECONDS", "0.4"))
KILLS = int(os.environ.get("KSPSIGN_KILLS", "4"))
JOBS = 16
"""Signatures on their way at once, at most: what a killed run had paid for and no time to write down."""


@dataclass(frozen=True)
class Killed:
    """What a killed run had written down, operations too, and how often each had been paid for by then."""

    kept: frozenset[str]
    spent: Counter[str]


def test_a_run_that_is_killed_again_and_again_pays_for_each_file_once(
    tmp_path: Path, authority: EmbeddedAuthority
) -> None:
    (tmp_path / "azure").mkdir()
    for number in range(FILES):
        (tmp_path / f"{number:04}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    with ArtifactSigning(tmp_path / "azure", authority) as service:
        service.signing.seconds, service.signing.rotate_every = SECONDS, ROTATE
        arguments = ("run", "*.dll", *service.options, "--store", tmp_path / "store", "--jobs", str(JOBS))
        kills = [_killed(service, tmp_path, arguments) for _ in range(KILLS)]
        run = kspsign_process(*arguments, folder=tmp_path, environment=service.environment, timeout=900)
        assert run.code == 0, run.text
        assert run.report["totals"]["verified"] == FILES
        spent = Counter(digest for digest, _leaf in service.signing.spent)
        again = {digest for digest, times in spent.items() if times > 1}
        print(f"{FILES} files, {len(kills)} kills: {spent.total()} signatures, {len(again)} twice")  # noqa: T201
        assert len(spent) == FILES
        assert all(spent[digest] == killed.spent[digest] for killed in kills for digest in killed.kept)
        assert spent.total() - FILES <= len(kills) * JOBS
        assert len({leaf for _digest, leaf in service.signing.spent}) > min(FILES // ROTATE, 2)
        judged = kspsign_process(
            *("verify", "*.dll", "--trust-root", service.roots), folder=tmp_path, environment={}, timeout=300
        )
    assert judged.code == 0, judged.text
    assert list((tmp_path / "store").rglob("*.journal")) == []
    assert_no_leftovers(tmp_path)


def _kept(store: Path) -> Iterator[str]:
    """The digests (hex) of what runs wrote down in whole lines: signatures, and operations that will give one."""
    for line in [line for path in store.rglob("*.journal") for line in path.read_bytes().splitlines()]:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if not entry.get("done"):
                yield entry["digest"]


def _killed(service: ArtifactSigning, folder: Path, arguments: tuple[object, ...]) -> Killed:
    """Kill a run at some moment after it asked for its first signature, unless it ends before."""
    asked = len(service.signing.spent)
    process = subprocess.Popen(
        [sys.executable, "-m", "kspsign", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **service.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while len(service.signing.spent) == asked and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(random.uniform(0, 3 * SECONDS))  # noqa: S311 - when is what chance decides here
    process.send_signal(signal.SIGKILL)
    process.wait()
    return Killed(frozenset(_kept(folder / "store")), Counter(digest for digest, _leaf in service.signing.spent))
