"""`python tests/bench/simulate.py`: a million files in 64 jobs with one key, under a virtual clock; draws what the key
served and refused over time, with outages and without, and prints what docs/performance.md says of it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.simulation import Clock, Outage, Service, simulate

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "parallel-jobs.svg"
FILES, JOBS, RATE = 1_000_000, 64, 500.0
OUTAGES: Sequence[Outage] = ((200.0, 260.0), (900.0, 1020.0))
STAMP_OUTAGE: Outage = (400.0, 700.0)
STEP = 10
"""Seconds that one point of a curve counts."""
WIDTH, HEIGHT, LEFT, BOTTOM = 760, 250, 60, 40


def main() -> None:
    """Both runs: numbers to standard output, curves to the picture."""
    curves = []
    for title, outages, stamps_out in (("no outage", (), ()), ("two outages", OUTAGES, (STAMP_OUTAGE,))):
        random.seed(1)
        clock = Clock()
        key = Service(clock, 1.0, RATE, outages=outages)
        stamps = [Service(clock, 0.2, 400.0, outages=stamps_out if first else ()) for first in (True, False, False)]
        jobs = simulate(FILES, JOBS, key, stamps, clock)
        end = max(job.finished for job in jobs)
        bound = FILES / RATE + sum(until - begin for begin, until in outages)
        refused = sum(counts[1] for counts in key.seen.values())
        print(
            f"{title}: {end:.0f} s, {bound / end:.1%} of the bound; first job done after "
            f"{min(job.finished for job in jobs):.0f} s; {sum(job.failed for job in jobs)} files failed; "
            f"{refused / FILES:.1%} of the requests refused; stamps by server {[server.served for server in stamps]}"
        )
        curves.append((title, key, end))
    PICTURE.write_text(_picture(curves), encoding="ascii", newline="\n")


def _picture(curves: Sequence[tuple[str, Service, float]]) -> str:
    """One chart below the other."""
    charts = [_chart(number, *curve) for number, curve in enumerate(curves)]
    height = len(charts) * (HEIGHT + BOTTOM + 30)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + 40} {height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{"".join(charts)}</svg>\n'
    )


def _chart(number: int, title: str, key: Service, end: float) -> str:
    longest = (int(end) // 500 + 1) * 500
    top = number * (HEIGHT + BOTTOM + 30) + 25

    def x(second: float) -> float:
        return round(LEFT + WIDTH * second / longest, 1)

    def y(rate: float) -> float:
        return round(top + HEIGHT * (1 - rate / (RATE * 1.2)), 1)

    steps = range(0, int(end), STEP)
    asked, refused = (
        [sum(key.seen.get(step + more, (0, 0))[which] for more in range(STEP)) / STEP for step in steps]
        for which in (0, 1)
    )
    served = [all_of_them - lost for all_of_them, lost in zip(asked, refused, strict=True)]
    parts = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">64 jobs, 1,000,000 files, {title}</text>\n']
    for rate in (0, 250, 500):
        parts.append(f'<path d="M{LEFT} {y(rate)}H{LEFT + WIDTH}" stroke="#ddd"/>\n')
        parts.append(f'<text x="{LEFT - 8}" y="{y(rate) + 4}" text-anchor="end">{rate}/s</text>\n')
    parts.extend(
        f'<text x="{x(second)}" y="{top + HEIGHT + 18}" text-anchor="middle">{second} s</text>\n'
        for second in range(0, longest + 1, 500)
    )
    for rates, colour, name in ((served, "#0a7d33", "signatures"), (refused, "#c22", "refused")):
        line = " ".join(f"{x(step)},{y(value)}" for step, value in zip(steps, rates, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>\n')
        shift = 0 if name == "signatures" else 90
        parts.append(f'<text x="{LEFT + WIDTH - 170 + shift}" y="{top - 8}" fill="{colour}">{name}</text>\n')
    return "".join(parts)


if __name__ == "__main__":
    main()
