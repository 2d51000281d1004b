"""Faults at random moments: in the end every file is signed or as it was, and no signature was spent twice.

CI runs a handful of each with fixed seeds; KSPSIGN_FAULTS=50 is what `make faults` runs, with seeds of its own.
"""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.values import Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.digicert_one.answers import Request
from support.keylocker_bench import Bench, of_another_digest
from support.launching import Launcher
from support.samples import assert_no_leftovers
from support.timestamping.server import Stamping

TIMES = int(os.environ.get("KSPSIGN_FAULTS", "5"))
SEEDS = [secrets.randbits(32) if "KSPSIGN_FAULTS" in os.environ else 20260131 + number for number in range(TIMES)]
FILES = 24
JOBS = 4
"""Signatures on their way at once, at most: what the key store made and a killed run had no time to keep."""


@pytest.fixture
def files(bench: Bench) -> dict[Path, bytes]:
    """Fresh files in a fresh folder, a fresh store, and nothing spent."""
    shutil.rmtree(bench.dist, ignore_errors=True)
    shutil.rmtree(bench.store, ignore_errors=True)
    bench.host.world.signed.clear()
    return bench.files(FILES)


@pytest.fixture(scope="module")
def duration(bench: Bench, stamping: Stamping, launcher: Launcher) -> float:
    """How long an undisturbed run takes."""
    bench.files(FILES)
    ended = launcher.run(bench.arguments(stamping.url), None, environment=bench.host.environment)
    assert ended.code == 0
    return ended.seconds


def verifier(bench: Bench) -> Verifier:
    anchors = TrustAnchors.from_pem_files([bench.roots])
    return Verifier(Trust(anchors, anchors, timestamp_required=True))


def assert_signed_or_as_it_was(bench: Bench, files: dict[Path, bytes]) -> int:
    """How many are signed; what is not has its bytes."""
    verify, signed = verifier(bench).verify, 0
    for path, content in files.items():
        if path.read_bytes() != content:
            assert verify(path, Format.PE).error is None
            signed += 1
    return signed


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_and_run_again(
    bench: Bench, stamping: Stamping, launcher: Launcher, files: dict[Path, bytes], duration: float, seed: int
) -> None:
    moment = duration * random.Random(seed).uniform(0.2, 1.0)  # noqa: S311 - moments, no secrets
    arguments = [*bench.arguments(stamping.url), "--jobs", str(JOBS)]
    killed = launcher.run(arguments, moment, environment=bench.host.environment)
    assert killed.code in {0, -signal.SIGKILL}
    assert_signed_or_as_it_was(bench, files)
    journal = bench.store / "journal"
    kept = bench.kept if killed.code else set()
    newborn = [path for path in journal.glob("*") if not path.stat().st_size] if killed.code else []
    again = launcher.run(bench.arguments(stamping.url), None, environment=bench.host.environment)
    assert again.code == 0
    assert assert_signed_or_as_it_was(bench, files) == FILES
    assert_no_leftovers(bench.dist)
    # One that was killed before its first line had an empty file, and no run can tell it from another's newborn one.
    assert list(journal.iterdir()) == newborn
    times = Counter(bench.host.world.signed)
    assert len(times) == FILES
    twice = {digest for digest, count in times.items() if count > 1}
    assert not twice & kept, "a signature that had been kept was asked for again"
    assert len(twice) <= JOBS, "a signature that had arrived was not kept"


@pytest.mark.parametrize("seed", SEEDS[::2])
def test_signing_a_document_is_killed_and_run_again(
    bench: Bench, stamping: Stamping, launcher: Launcher, files: dict[Path, bytes], duration: float, seed: int
) -> None:
    """Over an air gap: the document is there whole or not at all, and what was obtained goes into the next run's."""
    gap = bench.folder / f"gap-{seed}"
    gap.mkdir()
    digests, signed = gap / "digests.json", gap / "signed.json"
    taken = ["digest", "*.dll", "--folder", str(bench.dist), "--output", str(digests)]
    assert launcher.run(taken, None).code == 0
    command = [
        *("sign", "--document", str(digests), "--output", str(signed), "--timestamp-url", stamping.url),
        *bench.key,
    ]
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    killed = launcher.run(
        [*command, "--jobs", str(JOBS)], duration * chance.uniform(0.2, 1.0), environment=bench.host.environment
    )
    assert killed.code in {0, -signal.SIGKILL}
    kept = bench.kept if killed.code else set()
    before = signed.read_bytes() if signed.exists() else None
    if before is None:
        assert launcher.run(command, None, environment=bench.host.environment).code == 0
    assert signatures_in(signed.read_bytes()) == FILES
    times = Counter(bench.host.world.signed)
    assert set(times) == {base64.b64decode(entry["digest"]) for entry in json.loads(digests.read_bytes())["files"]}
    twice = {digest for digest, count in times.items() if count > 1}
    assert not twice & kept, "a signature that had been kept was asked for again"
    assert len(twice) <= JOBS, "a signature that had arrived was not kept"
    attach = ["attach", "--document", str(signed), "--folder", str(bench.dist), "--trust-root", str(bench.roots)]
    assert launcher.run(attach, None).code == 0
    assert assert_signed_or_as_it_was(bench, files) == FILES
    assert_no_leftovers(bench.dist)
    assert {path.name for path in gap.iterdir()} >= {digests.name, signed.name}


def signatures_in(document: bytes) -> int:
    """How many of a document's files have a signature; a document is never half written."""
    return sum(entry["signature"] is not None for entry in json.loads(document)["files"])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_disk_becomes_full(bench: Bench, stamping: Stamping, files: dict[Path, bytes], seed: int) -> None:
    """A bound on what one process may write stands for the disk: the same error arises in the same calls."""
    for path in files:
        path.write_bytes(path.read_bytes() + bytes(40_000))
    before = {path: path.read_bytes() for path in files}
    bound = random.Random(seed).randrange(4_000, 45_000)  # noqa: S311 - sizes, no secrets
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({bound}, {bound})); "
        "from kspsign.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, **bench.host.environment}
    command = [sys.executable, "-c", limited, *bench.arguments(stamping.url)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == 6, done.stderr
    assert all(path.read_bytes() == content for path, content in before.items())
    assert_no_leftovers(bench.dist)
    spent = bench.spent
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", *bench.arguments(stamping.url)],
        env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert bound < min(path.stat().st_size for path in files), "every signed file is larger than the disk was"
    assert spent <= FILES
    assert bench.spent - FILES <= max(0, FILES - bound // 1100), "the journal kept what it had room for"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_is_changed_while_it_is_signed(
    bench: Bench, stamping: Stamping, launcher: Launcher, files: dict[Path, bytes], duration: float, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    victim, moment = chance.choice(list(files)), duration * chance.uniform(0.2, 0.9)
    changed = files[victim] + b"changed"
    seen: list[bytes] = []
    replaced: list[bool] = []

    def change() -> None:
        time.sleep(moment)
        with victim.open("r+b", buffering=0) as file:
            seen.append(file.read())
            file.seek(0)
            file.truncate()
            file.write(changed)
            replaced.append(os.fstat(file.fileno()).st_nlink == 0)

    other = threading.Thread(target=change)
    other.start()
    report = bench.folder / "report.json"
    arguments = [*bench.arguments(stamping.url), "--report", str(report)]
    ended = launcher.run(arguments, None, environment=bench.host.environment)
    other.join()
    outcome = {file["path"]: file for file in json.loads(report.read_text())["files"]}[victim.name]
    if outcome["outcome"] == "failed":
        assert (ended.code, victim.read_bytes()) == (1, changed)
    elif seen != [files[victim]]:
        assert victim.read_bytes() == changed, "what was changed was the signed file"
    else:
        assert verifier(bench).verify(victim, Format.PE).error is None
        # Who still writes to a file that another has taken the place of writes to nothing.
        read = files[victim] if replaced == [True] else changed
        assert outcome["sha256_before"] == sha256(read).hexdigest()
    assert_no_leftovers(bench.dist)
    assert sum(path.read_bytes() != content for path, content in files.items() if path != victim) == FILES - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_key_store_signs_another_digest(
    bench: Bench, stamping: Stamping, launcher: Launcher, files: dict[Path, bytes], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    first, times = chance.randrange(FILES), chance.randrange(1, 8)
    asked, spoilt, lock = 0, 0, threading.Lock()

    def another_digest(request: Request) -> Request:
        nonlocal asked, spoilt
        if request.method != "POST":
            return request
        with lock:
            asked += 1
            if not first < asked <= first + times:
                return request
            spoilt += 1
        return of_another_digest(request)

    report = bench.folder / "report.json"
    bench.host.service.spoil = another_digest
    try:
        ended = launcher.run(
            [*bench.arguments(stamping.url), "--report", str(report)], None, environment=bench.host.environment
        )
    finally:
        bench.host.service.spoil = lambda request: request
    codes = [file["error"]["code"] for file in json.loads(report.read_text())["files"] if file["error"]]
    assert spoilt
    assert codes.count("KEY_MISMATCH") == spoilt
    assert set(codes) <= {"KEY_MISMATCH", "NOT_TRIED"}
    assert ended.code == (1 if len(codes) < FILES else 6)
    assert assert_signed_or_as_it_was(bench, files) == FILES - len(codes)
    again = launcher.run(bench.arguments(stamping.url), None, environment=bench.host.environment)
    assert (again.code, assert_signed_or_as_it_was(bench, files)) == (0, FILES)
    assert bench.spent == FILES + spoilt, "no signature that was right was asked for again"
    assert_no_leftovers(bench.dist)


@pytest.mark.parametrize("seed", SEEDS)
def test_clocks_differ(
    bench: Bench, authority: EmbeddedAuthority, launcher: Launcher, files: dict[Path, bytes], seed: int
) -> None:
    """A server far in the future is noticed before a signature is spent; timestamps a little in the past hold."""
    hours = random.Random(seed).uniform(1, 100)  # noqa: S311 - hours, no secrets
    with Stamping(authority, skew=timedelta(hours=hours)) as ahead:
        ended = launcher.run(bench.arguments(ahead.url), None, environment=bench.host.environment)
    assert (ended.code, bench.spent) == (6, 0)
    assert all(path.read_bytes() == content for path, content in files.items())
    with Stamping(authority, skew=timedelta(minutes=-4)) as behind:
        ended = launcher.run(bench.arguments(behind.url), None, environment=bench.host.environment)
    assert (ended.code, bench.spent) == (0, FILES)
    assert_no_leftovers(bench.dist)
