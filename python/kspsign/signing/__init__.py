"""Stage 2: signing by thumbprint. Engines make signed copies beside their targets; nothing is replaced unverified."""

from kspsign.signing.copies import Held, access_error, commit, hold
from kspsign.signing.engine import Engine, open_engine
from kspsign.signing.stamping import Stamper, open_stamper
from kspsign.signing.workers import in_parallel

__all__ = [
    "Engine",
    "Held",
    "Stamper",
    "access_error",
    "commit",
    "hold",
    "in_parallel",
    "open_engine",
    "open_stamper",
]
