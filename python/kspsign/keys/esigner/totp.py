"""One-time passwords by time (RFC 6238: HMAC-SHA1, 30 seconds, 6 digits), of which none is given out twice.

eSigner refuses a password that it has seen, and locks whoever goes on. The window that was used last is kept in a
file, for all processes of this machine: whoever wants the next password takes the first window that is free, and waits
for it. Secret and passwords are never on disk.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from kspsign.concurrency.file_lock import try_lock
from kspsign.model.errors import CancelledError, ConfigurationError

PERIOD: Final = 30.0
"""Seconds of a window (RFC 6238 §4.1, X)."""
_DIGITS = 6
_LEAST_BYTES = 16
"""RFC 4226 §4, R6: a shared secret has at least 128 bits."""
_SHORTEST_REST = 3.0
"""With fewer seconds left of a window the next one is taken: the request takes time, and clocks differ."""
_MOST_AHEAD = 40
"""Windows taken in advance; a file with one beyond that was written under a wrong clock."""
_LOCK_PAUSE = 0.02
_BASE32 = re.compile(r"[A-Z2-7]+=*")


def read_secret(text: str, variable: str) -> bytes:
    """The secret as SSL.com shows it: base64, or base32 (RFC 4648 §6), which is taken where it may be either: of
    random base64 not one in 10^12 has capitals and the digits 2 to 7 alone.

    Raises ConfigurationError, which names `variable` and holds nothing of the secret.
    """
    bare = "".join(text.split())
    capitals = bare.upper() if bare.islower() or bare.isupper() else bare
    secret = b""
    try:
        if _BASE32.fullmatch(capitals):
            padded = capitals.rstrip("=")
            secret = base64.b32decode(padded + "=" * (-len(padded) % 8))
        else:
            padded = bare.rstrip("=")
            secret = base64.b64decode(
                padded + "=" * (-len(padded) % 4), b"-_" if {"-", "_"} & {*bare} else b"+/", validate=True
            )
    except (binascii.Error, ValueError):
        pass  # said below, without a part of the secret
    if len(secret) >= _LEAST_BYTES:
        return secret
    what = "a one-time password" if re.fullmatch(r"\d{6,8}", bare) else "not the secret of one-time passwords"
    raise ConfigurationError(
        f"{variable} is {what}",
        code="ESIGNER_TOTP_SECRET",
        remedy="Copy the secret code that SSL.com shows next to the QR code of the certificate's eSigner enrolment.",
    )


def password_of(secret: bytes, window: int) -> str:
    """The password of a window (RFC 4226 §5.3)."""
    code = hmac.digest(secret, window.to_bytes(8), hashlib.sha1)
    offset = code[-1] & 0x0F
    number = int.from_bytes(code[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}}"


class OneTimePasswords:
    """The passwords of one secret. `record` is the file of its last window, `now` the service's time in seconds.

    `pause` waits that many seconds and returns true when the run was cancelled, at once.
    """

    def __init__(
        self,
        secret: bytes,
        record: Path,
        pause: Callable[[float], bool],
        *,
        now: Callable[[], float] = time.time,
        notice: Callable[[str], object] = lambda _text: None,
    ) -> None:
        self._secret, self._record, self._pause = secret, record, pause
        self._now, self._notice = now, notice
        self._last = 0

    def current(self) -> str | None:
        """The password that was given out last, where its time is not over; None where it is, or there is none."""
        return password_of(self._secret, self._last) if self._now() < (self._last + 1) * PERIOD else None

    def next(self) -> str:
        """A password that was not given out before, once its time has come. Raises CancelledError."""
        window = self._take()
        wait = window * PERIOD - self._now()
        if wait > 0:
            self._notice(f"eSigner takes each one-time password once: the next one is valid in {math.ceil(wait)} s")
            self._sleep(wait + 0.5)
        return password_of(self._secret, window)

    def _take(self) -> int:
        """The first free window from now on, which is taken by that."""
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            with self._record.open("a+b") as file:
                while try_lock(file) is False:
                    self._sleep(_LOCK_PAUSE)
                window = self._first_after(_read(file))
                file.truncate(0)
                file.write(str(window).encode())
        except OSError as unwritable:
            window = self._first_after(0)  # what can't be kept holds for this process at least
            if not self._last:
                self._notice(
                    f"the last one-time password can't be noted in {self._record.parent} "
                    f"({unwritable.strerror or unwritable}): another run on this machine may use the same one"
                )
        self._last = window
        return window

    def _first_after(self, recorded: int) -> int:
        current, passed = divmod(self._now(), PERIOD)
        first = int(current) + (passed > PERIOD - _SHORTEST_REST)
        taken = recorded if recorded <= first + _MOST_AHEAD else 0
        return max(first, taken + 1, self._last + 1)

    def _sleep(self, seconds: float) -> None:
        if self._pause(seconds):
            raise CancelledError


def _read(file: IO[bytes]) -> int:
    file.seek(0)
    text = file.read(20)
    return int(text) if text.isdigit() else 0
