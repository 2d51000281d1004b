"""The curve of a service's limit, for the report: a point where it bends, and a bounded number of them."""

from __future__ import annotations

from kspsign.network.load_limit import CURVE_POINTS, LoadLimit


def test_growth_and_complaints_are_points() -> None:
    load = LoadLimit(16)
    slots = [load.admit(100.0) for _ in range(4)]
    for slot in slots:
        load.release(slot, 100.5)
    assert [(point.at, point.limit, point.throttled) for point in load.facts.curve] == [(0.0, 4, 0), (0.5, 8, 0)]
    slot = load.admit(101.0)
    slot.throttled(None)
    load.release(slot, 101.25)
    last = load.facts.curve[-1]
    assert (last.at, last.limit, last.throttled) == (1.25, 4, 1)


def test_nothing_was_asked_for() -> None:
    assert LoadLimit(16).facts.curve == ()


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    load = LoadLimit(16)
    for number in range(2000):
        slot = load.admit(float(number))
        slot.throttled(0.0)
        load.release(slot, number + 0.5)
    curve = load.facts.curve
    assert len(curve) <= CURVE_POINTS
    assert (curve[0].at, curve[-1].throttled) == (0.0, 2000)
    assert list(curve) == sorted(curve, key=lambda point: point.at)
