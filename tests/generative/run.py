"""`make fuzz`: changes of signed files and their messages with a random seed; one that verifies is a hole.

python tests/generative/run.py [--minutes 10] [--seed N] [SAMPLE...]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROUND = 200


def main() -> int:
    """Judge the samples in turn until the time is over; 1 when something verified that is not documented."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("samples", nargs="*", metavar="SAMPLE")
    given = parser.parse_args()
    from generative.run_changes import Trial  # noqa: PLC0415 - the path is set below
    from generative.samples import SAMPLES  # noqa: PLC0415 - likewise

    seed = given.seed if given.seed is not None else random.SystemRandom().getrandbits(32)
    source, end = random.Random(seed), time.monotonic() + given.minutes * 60  # noqa: S311 - reproducible
    print(f"seed {seed}", flush=True)
    with TemporaryDirectory() as name:
        trials = []
        for sample in given.samples or SAMPLES:
            folder = Path(name) / sample
            folder.mkdir()
            trials.append(Trial(sample, folder))
        while time.monotonic() < end:
            for trial in trials:
                trial.judge_messages(source, ROUND)
                trial.judge_files(source, ROUND)
    for trial in trials:
        print(trial.result)
        for hole in trial.result.holes:
            print(f"  verifies: {hole}", file=sys.stderr)
    return 1 if any(trial.result.holes for trial in trials) else 0


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
    sys.exit(main())
