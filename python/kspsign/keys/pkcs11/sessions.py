"""Sessions with a token: one login, and one session per signature in progress."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kspsign.keys.pkcs11 import cryptoki
from kspsign.keys.pkcs11.cryptoki import Token
from kspsign.keys.pkcs11.errors import CryptokiError
from kspsign.keys.pkcs11.isolated import IsolatedModule
from kspsign.model.errors import PrerequisiteError

_NO_MORE_SESSIONS = frozenset({0x0B1, 0x031, 0x002})
"""CKR_SESSION_COUNT, CKR_DEVICE_MEMORY, CKR_HOST_MEMORY."""
_PIN_REFUSALS = frozenset({0x0A0, 0x0A1, 0x0A2, 0x0A3, 0x0A4})

Session = tuple[int, int]
"""A session and the key's handle in it."""


@dataclass(frozen=True, slots=True)
class Login:
    """How a token is logged in to: with a PIN, at the PIN pad of its reader, or not at all (neither)."""

    pin: str | None = field(repr=False)
    at_pad: bool = False

    @classmethod
    def of(cls, token: Token, pin: str | None) -> Login:
        """`pin` where there is one, else the token's own pad if it has one.

        Raises PrerequisiteError when a PIN must not be tried: it is locked, or the next wrong one would lock it.
        """
        wants = bool(token.flags & cryptoki.CKF_LOGIN_REQUIRED)
        at_pad = pin is None and wants and bool(token.flags & cryptoki.CKF_PROTECTED_AUTHENTICATION_PATH)
        if pin is not None or at_pad:
            _check_pin_may_be_tried(token)
        return cls(pin, at_pad)

    @property
    def wanted(self) -> bool:
        """Whether to log in."""
        return self.pin is not None or self.at_pad


def _check_pin_may_be_tried(token: Token) -> None:
    if token.flags & cryptoki.CKF_USER_PIN_LOCKED:
        raise PrerequisiteError(
            f"the PIN of token {token.label!r} is locked",
            code="PKCS11_PIN_LOCKED",
            remedy="Unlock it with the vendor's tool, as the token's security officer.",
        )
    if token.flags & cryptoki.CKF_USER_PIN_FINAL_TRY:
        raise PrerequisiteError(
            f"token {token.label!r} locks with the next wrong PIN: it is not tried here",
            code="PKCS11_PIN_LOCKED",
            remedy="Log in once with the vendor's tool and the right PIN: that resets the count.",
        )


class SessionPool:
    """Sessions of one slot, opened when needed and kept; safe to share between threads.

    `find_key` gives the key's handle in a session. Raises CryptokiError, and what `find_key` raises.
    """

    def __init__(self, module: IsolatedModule, slot: int, login: Login, find_key: Callable[[int], int]) -> None:
        self._module = module
        self._slot = slot
        self._login = login
        self._find_key = find_key
        self._idle: queue.LifoQueue[Session] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._one_login = threading.Lock()
        self._opened: list[int] = []
        self._refused_pin: CryptokiError | None = None
        first = self._module.open_session(slot)
        self._opened.append(first)
        if login.wanted:
            module.login(first, login.pin)
        key = find_key(first)
        self.asks_each_time = module.attribute(first, key, cryptoki.CKA_ALWAYS_AUTHENTICATE) == b"\1"
        self._idle.put((first, key))

    def sign(self, mechanism: int, data: bytes) -> bytes:
        """One signature, in an idle session or a new one."""
        with self.session() as (session, key):
            if self.asks_each_time and self._login.wanted:
                return self._sign_logged_in(session, key, mechanism, data)
            return self._module.sign(session, key, mechanism, data)

    def _sign_logged_in(self, session: int, key: int, mechanism: int, data: bytes) -> bytes:
        """A PIN that was refused once is never tried again: the token would lock it."""
        with self._one_login:
            if self._refused_pin is not None:
                raise self._refused_pin
            try:
                return self._module.sign_logged_in(session, key, mechanism, data, self._login.pin)
            except CryptokiError as refused:
                if refused.value in _PIN_REFUSALS:
                    self._refused_pin = refused
                raise

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session for this thread alone, given back at the end.

        After a refusal another one takes its place: what was begun in it may be unfinished, and it would refuse the
        next signature (CKR_OPERATION_ACTIVE, PKCS #11 2.40, §5.11).
        """
        mine = self._take()
        try:
            yield mine
        except CryptokiError:
            mine = self._replaced(mine)
            raise
        finally:
            self._idle.put(mine)

    def _replaced(self, old: Session) -> Session:
        """A new session for `old`, or `old` when the token gives none. The new one is opened first: with the last
        session of a token its login ends."""
        try:
            session = self._module.open_session(self._slot)
            new = session, self._find_key(session)
        except PrerequisiteError:
            return old
        with self._lock:
            self._opened[self._opened.index(old[0])] = session
        with contextlib.suppress(PrerequisiteError):
            self._module.close_session(old[0])
        return new

    def _take(self) -> Session:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        try:
            session = self._module.open_session(self._slot)
        except CryptokiError as refused:
            if refused.value not in _NO_MORE_SESSIONS:
                raise
            return self._idle.get()  # the token has no more: wait for one of ours, of which there is at least one
        with self._lock:
            self._opened.append(session)
        return session, self._find_key(session)

    def close(self) -> None:
        """Close all sessions; calling it again does nothing. Nobody may be signing."""
        opened, self._opened = self._opened, []
        for session in opened:
            with contextlib.suppress(PrerequisiteError):  # of a token or a module that is gone, sessions are gone too
                self._module.close_session(session)
