"""Killed or cancelled at any moment, a run leaves each target as it was or fully signed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from kspsign.model.values import COPY_PREFIX, Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.launching import Launcher
from support.samples import Store, assert_no_leftovers, launchers, osslsigncode_verify

KILLS = 200


def start(folder: Path, store: Store, *options: str) -> subprocess.Popen[bytes]:
    """A run that signs what is in `folder`, with several files at a time."""
    chosen = ["--thumbprint", store.thumbprint, "--store", str(store.folder), "--folder", str(folder), "--jobs", "3"]
    return subprocess.Popen(
        [sys.executable, "-m", "kspsign", "sign", "*.exe", *chosen, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def fresh_targets(folder: Path, sources: Sequence[Path]) -> Path:
    folder.mkdir()
    for source in sources:
        shutil.copyfile(source, folder / source.name)
    return folder


@pytest.fixture(scope="module")
def verifier(store: Store) -> Verifier:
    anchors = TrustAnchors.from_pem_files([store.root])
    return Verifier(Trust(anchors, anchors, timestamp_required=True))


def test_a_target_is_never_half_signed(store: Store, verifier: Verifier, launcher: Launcher, tmp_path: Path) -> None:
    sources = {path.name: path for path in launchers()}
    originals = {name: sha256(path.read_bytes()).hexdigest() for name, path in sources.items()}
    chosen = ("--thumbprint", store.thumbprint, "--store", str(store.folder), "--jobs", "3", "*.exe", "--folder")
    whole = [
        launcher.run(["sign", *chosen, str(fresh_targets(tmp_path / name, [*sources.values()]))], None)
        for name in "abc"
    ]
    assert [run.code for run in whole] == [0, 0, 0]
    seconds = max(run.seconds for run in whole)
    chance = random.Random(20260131)  # noqa: S311 - moments, no secrets
    killed, half_done = 0, 0
    for index in range(KILLS):
        folder = fresh_targets(tmp_path / str(index), [*sources.values()])
        run = launcher.run(["sign", *chosen, str(folder)], seconds * chance.uniform(0.1, 1.0))
        assert run.code in {0, -signal.SIGKILL}
        killed += run.code < 0
        if run.code == 0:
            seconds = run.seconds  # the machine has more time for it now
        states = {state_of(folder / name, originals[name], verifier) for name in originals}
        half_done += len(states) == 2
        leftovers = {path.name for path in folder.iterdir()} - originals.keys()
        assert all(name.startswith(COPY_PREFIX) for name in leftovers)
        shutil.rmtree(folder)
    assert killed > KILLS // 2
    assert half_done > 5, "the moments did not lie in the work"


def state_of(path: Path, original: str, verifier: Verifier) -> str:
    """ "original" or "signed"; fails for anything else."""
    if sha256(path.read_bytes()).hexdigest() == original:
        return "original"
    verification = verifier.verify(path, Format.PE)
    assert verification.error is None, verification.error
    return "signed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_cancelled_run_says_what_became_of_each_file(store: Store, tmp_path: Path, number: int) -> None:
    folder, report = tmp_path / "files", tmp_path / "report.json"
    folder.mkdir()
    source = launchers()[0]
    for index in range(400):
        shutil.copyfile(source, folder / f"{index:03}.exe")
    process = start(folder, store, "--report", str(report))
    deadline = time.monotonic() + 300
    watched = [folder / f"{index:03}.exe" for index in range(20)]  # by name: the copies beside them come and go
    while not any(path.stat().st_size > source.stat().st_size for path in watched):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    assert process.wait(timeout=120) == 130
    written = json.loads(report.read_text(encoding="utf-8"))
    outcomes = [file["outcome"] for file in written["files"]]
    assert (written["exit_code"], written["error"]["code"]) == (130, "CANCELLED")
    assert len(outcomes) == 400
    assert 0 < outcomes.count("signed") < 400
    assert outcomes.count("signed") + outcomes.count("failed") == 400
    assert {file["error"]["code"] for file in written["files"] if file["error"]} == {"CANCELLED"}
    assert_no_leftovers(folder)
    for file in written["files"]:
        assert (folder / file["path"]).stat().st_size > 0
        assert ((folder / file["path"]).read_bytes() == source.read_bytes()) is (file["outcome"] == "failed")
    done = next(file["path"] for file in written["files"] if file["outcome"] == "signed")
    assert osslsigncode_verify(folder / done, store.root).accepted
