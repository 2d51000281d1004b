"""Many files, certificates that change meanwhile, and a run that is killed again and again.

What was answered is never paid twice. What was on its way at a kill is lost where the service had taken it on: its
protocol has no list of operations and no id of the client's. The journal names each of these requests.

KSPSIGN_KILL_FILES, _ROTATE, _SECONDS and _KILLS set the measure; by default it is a small one, `make faults` has the
full one.
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
from collections.abc import Iterable
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
"""Requests on their way at once, at most."""


@dataclass(frozen=True)
class Killed:
    """What a killed run had written down: digests whose answer it saw, operations too, and those that it had asked for;
    and how often each had been paid for by then."""

    kept: frozenset[str]
    asked: frozenset[str]
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
        unanswered = Counter(digest for killed in kills for digest in killed.asked)
        print(  # noqa: T201
            f"{FILES} files, {len(kills)} kills: {spent.total()} signatures, {len(again)} twice; "
            f"{unanswered.total()} requests had no answer"
        )
        assert len(spent) == FILES
        assert all(spent[digest] == killed.spent[digest] for killed in kills for digest in killed.kept)
        assert all(len(killed.asked) <= JOBS for killed in kills)
        assert all(spent[digest] - 1 <= unanswered[digest] for digest in spent), "each lost one was named"
        said = {warning["code"]: warning["message"] for warning in run.report["warnings"]}
        assert int(said.get("SIGNATURES_MAY_BE_SPENT", "0").split()[0]) == unanswered.total()
        assert len({leaf for _digest, leaf in service.signing.spent}) > min(FILES // ROTATE, 2)
        judged = kspsign_process(
            *("verify", "*.dll", "--trust-root", service.roots), folder=tmp_path, environment={}, timeout=300
        )
    assert judged.code == 0, judged.text
    assert list((tmp_path / "store").rglob("*.journal")) == []
    assert_no_leftovers(tmp_path)


def _written(files: Iterable[Path]) -> tuple[frozenset[str], frozenset[str]]:
    """The digests (hex) of what a run wrote down in whole lines: signatures, and operations that will give one; and
    those that it had asked for."""
    kept, asked = set[str](), set[str]()
    for line in [line for path in files for line in path.read_bytes().splitlines()]:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if "digest" not in entry or entry.get("lost"):
                continue
            digest = entry["digest"]
            asked.discard(digest)
            kept.discard(digest)
            if not entry.get("done"):
                (asked if entry.get("asked") else kept).add(digest)
    return frozenset(kept), frozenset(asked)


def _killed(service: ArtifactSigning, folder: Path, arguments: tuple[object, ...]) -> Killed:
    """Kill a run at some moment after it asked for its first signature, unless it ends before."""
    asked, before = len(service.signing.spent), set((folder / "store").rglob("*.journal"))
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
    own = set((folder / "store").rglob("*.journal")) - before  # none, when it was killed before it took over others'
    return Killed(*_written(own), Counter(digest for digest, _leaf in service.signing.spent))
