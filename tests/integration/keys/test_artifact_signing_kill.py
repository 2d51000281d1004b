"""Many files, certificates that change meanwhile, and a run that is killed again and again: nothing is paid twice.

KSPSIGN_KILL_FILES, _ROTATE, _SECONDS and _KILLS set the measure; by default it is a small one.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import ArtifactSigning
from support.formats.peimages import build_pe
from support.samples import assert_no_leftovers, kspsign_process

FILES = int(os.environ.get("KSPSIGN_KILL_FILES", "60"))
ROTATE = int(os.environ.get("KSPSIGN_KILL_ROTATE", "7"))
SECONDS = float(os.environ.get("KSPSIGN_KILL_SECONDS", "0.4"))
KILLS = int(os.environ.get("KSPSIGN_KILLS", "4"))
UNSEEN_SECONDS = 0.5
"""What was on its way this long before or after a kill may not have been written down yet, on a busy machine."""


def test_a_run_that_is_killed_again_and_again_pays_for_each_file_once(
    tmp_path: Path, authority: EmbeddedAuthority
) -> None:
    (tmp_path / "azure").mkdir()
    for number in range(FILES):
        (tmp_path / f"{number:04}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    with ArtifactSigning(tmp_path / "azure", authority) as service:
        service.signing.seconds, service.signing.rotate_every = SECONDS, ROTATE
        arguments = ("run", "*.dll", *service.options, "--store", tmp_path / "store", "--jobs", "16")
        kills = [_killed(service, tmp_path, arguments) for _ in range(KILLS)]
        run = kspsign_process(*arguments, folder=tmp_path, environment=service.environment, timeout=900)
        assert run.code == 0, run.text
        assert run.report["totals"]["verified"] == FILES
        spent = Counter(digest for digest, _leaf in service.signing.spent)
        unseen = service.signing.unseen(kills, UNSEEN_SECONDS)
        again = {digest for digest, times in spent.items() if times > 1}
        print(f"{FILES} files, {len(kills)} kills: {spent.total()} signatures, {len(again)} twice")  # noqa: T201
        assert len(spent) == FILES
        assert again <= unseen
        assert spent.total() - FILES <= len(unseen)
        assert len({leaf for _digest, leaf in service.signing.spent}) > min(FILES // ROTATE, 2)
        judged = kspsign_process(
            *("verify", "*.dll", "--trust-root", service.roots), folder=tmp_path, environment={}, timeout=300
        )
    assert judged.code == 0, judged.text
    assert list((tmp_path / "store").rglob("*.journal")) == []
    assert_no_leftovers(tmp_path)


def _killed(service: ArtifactSigning, folder: Path, arguments: tuple[object, ...]) -> float:
    """Kill a run at some moment after it asked for its first signature, unless it ends before; when that was."""
    asked = len(service.signing.spent)
    process = subprocess.Popen(
        [sys.executable, "-m", "kspsign", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **service.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(service.signing.spent) == asked and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(random.uniform(0, 3 * SECONDS))  # noqa: S311 - when is what chance decides here
    process.send_signal(signal.SIGKILL)
    moment = time.monotonic()
    process.wait()
    return moment
