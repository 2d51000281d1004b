"""Stage 2: signing by thumbprint. Engines create signed copies next to their targets; nothing is replaced
unverified."""

from kspsign.concurrency.workers import Workers
from kspsign.signing.budget import Budget
from kspsign.signing.circuit_breaker import CircuitBreaker
from kspsign.signing.copies import LockedTarget, SignedCopy, Targets, access_error
from kspsign.signing.engine import Engine, open_engine, open_planner, open_preflight
from kspsign.signing.leftovers import is_in_use, remove_leftovers
from kspsign.signing.plan import Planner
from kspsign.signing.shared_state import LOCAL_SLOTS, SharedState
from kspsign.signing.timestamper import Timestamper, open_timestamper
from kspsign.signing.waits import Waits

__all__ = [
    "LOCAL_SLOTS",
    "Budget",
    "CircuitBreaker",
    "Engine",
    "LockedTarget",
    "Planner",
    "SharedState",
    "SignedCopy",
    "Targets",
    "Timestamper",
    "Waits",
    "Workers",
    "access_error",
    "is_in_use",
    "open_engine",
    "open_planner",
    "open_preflight",
    "open_timestamper",
    "remove_leftovers",
]
