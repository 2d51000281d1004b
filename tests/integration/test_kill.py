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
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from integration.samples import Store, assert_no_leftovers, launchers, osslsigncode_verify
from kspsign.model import COPY_PREFIX, Format
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.signatures import Trust
from kspsign.verifying.verifier import Verifier

KILLS = 200
SIDE_BY_SIDE = 2


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


def duration(folder: Path, store: Store) -> float:
    """How long a run over the targets takes while another one goes on beside it, in seconds."""
    started = time.perf_counter()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = [fresh_targets(folder / str(index), launchers()[:6]) for index in range(SIDE_BY_SIDE)]
        codes = list(pool.map(lambda each: start(each, store).wait(timeout=60), runs))
    assert codes == [0] * SIDE_BY_SIDE
    return time.perf_counter() - started


@pytest.fixture(scope="module")
def verifier(store: Store) -> Verifier:
    anchors = TrustAnchors.from_pem_files([store.root])
    return Verifier(Trust(anchors, anchors, timestamp_required=True))


def test_a_target_is_never_half_signed(store: Store, verifier: Verifier, tmp_path: Path) -> None:
    sources = {path.name: path for path in launchers()[:6]}
    originals = {name: sha256(path.read_bytes()).hexdigest() for name, path in sources.items()}
    warm = tmp_path / "warm"
    warm.mkdir()
    whole = duration(warm, store)
    chance = random.Random(20260131)  # noqa: S311 - moments, no secrets
    # A third of the time is start-up; most moments lie where files are worked on.
    moments = [whole * (chance.uniform(0.3, 1.05) if chance.random() < 0.85 else chance.random()) for _ in range(KILLS)]

    def kill_after(index: int) -> dict[str, str]:
        folder = fresh_targets(tmp_path / str(index), list(sources.values()))
        process = start(folder, store)
        time.sleep(moments[index])
        process.kill()
        process.wait()
        states = {name: state_of(folder / name, originals[name], verifier) for name in originals}
        leftovers = {path.name for path in folder.iterdir()} - originals.keys()
        assert all(name.startswith(COPY_PREFIX) for name in leftovers)
        shutil.rmtree(folder)
        return states

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        outcomes = list(pool.map(kill_after, range(KILLS)))
    seen = [state for states in outcomes for state in states.values()]
    assert len(outcomes) == KILLS
    assert seen.count("original") + seen.count("signed") == KILLS * len(sources)
    # The kills did hit the work: some runs were over half done.
    assert any(len(set(states.values())) == 2 for states in outcomes)


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
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > source.stat().st_size for path in sorted(folder.glob("*.exe"))[:20]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    assert process.wait(timeout=20) == 130
    written = json.loads(report.read_text(encoding="utf-8"))
    outcomes = [each["outcome"] for each in written["files"]]
    assert (written["exit_code"], written["error"]["code"]) == (130, "CANCELLED")
    assert len(outcomes) == 400
    assert 0 < outcomes.count("signed") < 400
    assert outcomes.count("signed") + outcomes.count("failed") == 400
    assert {each["error"]["code"] for each in written["files"] if each["error"]} == {"CANCELLED"}
    assert_no_leftovers(folder)
    for each in written["files"]:
        assert (folder / each["path"]).stat().st_size > 0
        assert ((folder / each["path"]).read_bytes() == source.read_bytes()) is (each["outcome"] == "failed")
    done = next(each["path"] for each in written["files"] if each["outcome"] == "signed")
    assert osslsigncode_verify(folder / done, store.root).accepted
