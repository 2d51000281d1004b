"""A PKCS#11 module in a process of its own: what it does to that process becomes an error, and waiting has an end."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kspsign.keys.pkcs11 import module_process
from kspsign.keys.pkcs11.cryptoki import Token
from kspsign.keys.pkcs11.errors import CryptokiError, ended, silent, unloadable
from kspsign.programs.json_lines import DialogueError, FaultKind, JsonLineProgram

_FAREWELL_SECONDS = 3.0
_SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|PIN)$", re.IGNORECASE)


def module_environment(
    given: Mapping[str, str], pin: str | None, own: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What the module's process sees: `own`, this process's, without what looks like a secret, and what is `given` to
    the vendor's library by name."""
    shown = {name: value for name, value in own.items() if not _SECRET.search(name) and value != pin}
    return {**shown, **given}


class IsolatedModule:
    """The module at `path`; see `cryptoki.Cryptoki` for the calls. Safe to share between threads.

    Every method raises CryptokiError with the CKR_ value when the module answers anything but CKR_OK, PrerequisiteError
    when its process has ended or does not answer in time, CancelledError.
    """

    def __init__(
        self,
        path: Path,
        parameters: str | None,
        environment: Mapping[str, str],
        pin: str | None,
        seconds: float,
        cancelled: threading.Event,
    ) -> None:
        """Load it. `pin` is masked in what it prints, `seconds` is the longest wait for an answer.

        Raises PrerequisiteError when it can't be loaded or is not a PKCS#11 module.
        """
        self._path, self._seconds, self._cancelled = path, seconds, cancelled
        self._process = JsonLineProgram(
            [sys.executable, "-I", "-X", "utf8", module_process.__file__],
            environment,
            seconds=seconds,
            mask=lambda text: text.replace(pin, "***") if pin else text,
            hear=lambda _line: None,
        )
        try:
            self.threads = bool(self._ask("load", str(path.absolute()), parameters))
        except BaseException:
            self.close()
            raise

    def tokens(self) -> tuple[tuple[Token, ...], tuple[tuple[int, CryptokiError], ...]]:
        """The tokens that are present and initialised, and the slots that can't be read."""
        tokens, refused = self._ask("tokens")
        return (
            tuple(Token(*token) for token in tokens),
            tuple((slot, CryptokiError(function, value)) for slot, function, value in refused),
        )

    def mechanisms(self, slot: int) -> frozenset[int]:
        """The mechanisms (CKM_...) of the token in `slot`."""
        return frozenset(self._ask("mechanisms", slot))

    def open_session(self, slot: int) -> int:
        """A new read-only session; the token's login holds for it too (§5.6)."""
        return int(self._ask("open_session", slot))

    def close_session(self, session: int) -> None:
        """End one session."""
        self._ask("close_session", session)

    def login(self, session: int, pin: str | None) -> None:
        """Log in to the session's token; without `pin` the token asks for it itself."""
        self._ask("login", session, pin)

    def find(self, session: int, object_class: int, attributes: Mapping[int, bytes]) -> tuple[int, ...]:
        """Handles of the objects of that class that have all these attributes."""
        named = {str(kind): value.hex() for kind, value in attributes.items()}
        return tuple(self._ask("find", session, object_class, named))

    def attribute(self, session: int, handle: int, kind: int) -> bytes | None:
        """The attribute's value; None when the object lacks it or keeps it to itself."""
        value = self._ask("attribute", session, handle, kind)
        return None if value is None else bytes.fromhex(value)

    def sign(self, session: int, key: int, mechanism: int, data: bytes) -> bytes:
        """One signature."""
        return bytes.fromhex(self._ask("sign", session, key, mechanism, data.hex()))

    def sign_logged_in(self, session: int, key: int, mechanism: int, data: bytes, pin: str | None) -> bytes:
        """One signature of a key that wants a login for each."""
        return bytes.fromhex(self._ask("sign_logged_in", session, key, mechanism, data.hex(), pin))

    def close(self) -> None:
        """End all sessions, the login and the process; calling it again does nothing."""
        self._process.close(_FAREWELL_SECONDS)

    def _ask(self, call: str, *given: Any) -> Any:
        try:
            answer = self._process.ask({"call": call, "with": given}, self._cancelled)
        except DialogueError as broken:
            if broken.kind is FaultKind.NO_ANSWER:
                raise silent(self._path, call, self._seconds) from broken
            raise ended(self._path, broken.text) from broken
        if "unloadable" in answer:
            raise unloadable(self._path, answer["unloadable"])
        if "refused" in answer:
            raise CryptokiError(*answer["refused"])
        return answer["answer"]
