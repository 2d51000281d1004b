"""Stage 2: signing by thumbprint. Engines make signed copies beside their targets; nothing is replaced unverified."""

from kspsign.signing.copies import Held, SignedCopy, Targets, access_error
from kspsign.signing.engine import Engine, open_engine, open_planner
from kspsign.signing.halt import Halt
from kspsign.signing.leftovers import remove_leftovers
from kspsign.signing.planning import Planner
from kspsign.signing.stamping import Stamper, open_stamper
from kspsign.signing.waits import Waits
from kspsign.signing.workers import Workers
from kspsign.signing.workplace import DESKS, Workplace

__all__ = [
    "DESKS",
    "Engine",
    "Halt",
    "Held",
    "Planner",
    "SignedCopy",
    "Stamper",
    "Targets",
    "Waits",
    "Workers",
    "Workplace",
    "access_error",
    "open_engine",
    "open_planner",
    "open_stamper",
    "remove_leftovers",
]
