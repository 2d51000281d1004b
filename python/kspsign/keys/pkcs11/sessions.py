"""Sessions with a token: one login, and one session per signature in progress."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

from kspsign.keys.pkcs11 import cryptoki
from kspsign.keys.pkcs11.cryptoki import Cryptoki
from kspsign.keys.pkcs11.errors import CryptokiError

_CKR_SESSION_COUNT = 0x0B1

Session = tuple[int, int]
"""A session and the key's handle in it."""


class SessionPool:
    """Sessions of one slot, opened when needed and kept; safe to share between threads.

    `find_key` gives the key's handle in a session. Raises CryptokiError, and what `find_key` raises.
    """

    def __init__(self, module: Cryptoki, slot: int, pin: str | None, find_key: Callable[[int], int]) -> None:
        self._module = module
        self._slot = slot
        self._find_key = find_key
        self._idle: queue.LifoQueue[Session] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._opened: list[int] = []
        first = self._module.open_session(slot)
        self._opened.append(first)
        if pin is not None:
            module.login(first, pin)
        key = find_key(first)
        asks_each_time = module.attribute(first, key, cryptoki.CKA_ALWAYS_AUTHENTICATE) == b"\1"
        self._pin_for_each = pin if asks_each_time else None
        self._idle.put((first, key))

    def sign(self, mechanism: int, data: bytes) -> bytes:
        """One signature, in an idle session or a new one."""
        with self.session() as (session, key):
            return self._module.sign(session, key, mechanism, data, self._pin_for_each)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session for this thread alone, given back at the end."""
        mine = self._take()
        try:
            yield mine
        finally:
            self._idle.put(mine)

    def _take(self) -> Session:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        try:
            session = self._module.open_session(self._slot)
        except CryptokiError as refused:
            if refused.value != _CKR_SESSION_COUNT:
                raise
            return self._idle.get()  # the token has no more: wait for one of ours, of which there is at least one
        with self._lock:
            self._opened.append(session)
        return session, self._find_key(session)

    def close(self) -> None:
        """Close all sessions; calling it again does nothing. Nobody may be signing."""
        opened, self._opened = self._opened, []
        for session in opened:
            with contextlib.suppress(CryptokiError):  # of a token that is gone, sessions are gone too
                self._module.close_session(session)
