"""`make fuzz`: each target in a process of its own under atheris (libFuzzer, guided by coverage), for a while.

    python tests/fuzz/run.py [--minutes 30] [TARGET...]

The mutator is ours (structure-aware) half of the time, libFuzzer's the other half. An input that breaks a target is
kept in build/fuzz/TARGET/, and is a test input from then on (tests/fuzz/found/TARGET.*.bin).
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "fuzz"
MEMORY_MB = 700
SECONDS_PER_INPUT = 10
MAX_INPUT = 1 << 18


def main() -> int:
    """Fuzz the targets one after the other; 1 when one of them broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30, help="for all targets together")
    parser.add_argument("--inside", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    given = parser.parse_args()
    if given.inside:
        _fuzz(given.inside, given.minutes)
    from fuzz.samples import TARGETS  # noqa: PLC0415 - inside a target's process only after atheris instruments it

    chosen = given.targets or sorted(TARGETS)
    broken = [name for name in chosen if not _spawn(name, given.minutes / len(chosen))]
    print(f"{len(chosen) - len(broken)} passed, {len(broken)} failed")
    for name in broken:
        print(f"{name}: see {WORK / name}", file=sys.stderr)
    return 1 if broken else 0


def _spawn(name: str, minutes: float) -> bool:
    print(f"== {name}: {minutes:.1f} minutes", flush=True)
    (WORK / name).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--inside", name, "--minutes", str(minutes)]
    with (WORK / name / "log.txt").open("wb") as log:
        done = subprocess.run(command, cwd=WORK / name, stdout=log, stderr=subprocess.STDOUT, check=False)
    lines = (WORK / name / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    print(
        "\n".join([line for line in lines if line.startswith("stat::")] if done.returncode == 0 else lines[-30:]),
        flush=True,
    )
    return done.returncode == 0


def _fuzz(name: str, minutes: float) -> None:
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 - only here, and not on every system

    with atheris.instrument_imports(include=["kspsign.authenticode", "kspsign.verifying"]):
        from fuzz.mutations import mutated, mutated_der  # noqa: PLC0415
        from fuzz.samples import open_target  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(dir=WORK / name))
    target = open_target(name, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, sample in enumerate(target.samples):
        (corpus / f"sample-{number}").write_bytes(sample)

    def change(data: bytes, size: int, seed: int) -> bytes:
        source = random.Random(seed)  # noqa: S311 - reproducible, not secret
        if source.random() < 0.5:
            return bytes(atheris.Mutate(data, size))
        changed = mutated_der(data, source) if target.is_der and data else mutated(data, source, target.samples)
        return changed[:size]

    options = [
        f"-max_total_time={int(minutes * 60)}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={MAX_INPUT}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.feed, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "tests")]
    sys.exit(main())
