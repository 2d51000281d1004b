"""The process that holds a PKCS#11 module, run by its path with nothing but the standard library.

A module that hangs, crashes or calls exit() takes this process with it, and not the one that signs. Requests and
answers are lines of JSON; bytes are hexadecimal. What the module prints goes to standard error.

    {"id": 1, "call": "load", "with": ["/usr/lib/softhsm/libsofthsm2.so", null]}   {"id": 1, "answer": true}
    {"id": 2, "call": "sign", "with": [1, 2, 1, "3031..."]}                        {"id": 2, "refused": ["C_Sign", 48]}
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

MOST_THREADS = 256
FAREWELL_SECONDS = 2.0
"""How long the module may take to end what it does and to say goodbye, once nothing more is asked."""


def _load_cryptoki() -> Any:
    """The file in the same folder; the package around it would bring much more than is needed here."""
    loader = SourceFileLoader("kspsign_cryptoki", str(Path(__file__).with_name("cryptoki.py")))
    module = ModuleType(loader.name)
    sys.modules[loader.name] = module  # dataclasses look it up
    loader.exec_module(module)
    return module


class ModuleServer:
    """Answers requests on `answers`, a stream of lines."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._cryptoki = _load_cryptoki()
        self._module: Any = None

    def serve(self, requests: Any) -> None:
        """Work until `requests` end, each in a thread of its own if the module allows that.

        They end when whoever asks has ended too, even by a signal: a module that hangs then must not keep its token.
        """
        with ThreadPoolExecutor(MOST_THREADS) as threads:
            for line in requests:
                request = json.loads(line)
                if self._module is not None and self._module.threads:
                    threads.submit(self._answer, request)
                else:
                    self._answer(request)
            farewell = threading.Timer(FAREWELL_SECONDS, lambda: os._exit(0))
            farewell.daemon = True
            farewell.start()
        if self._module is not None:
            self._module.finalise()

    def _answer(self, request: dict[str, Any]) -> None:
        try:
            answer = {"id": request["id"], **self._answered(request["call"], request["with"])}
        except BaseException:  # noqa: BLE001 - a caller must not wait for a module that answered wrongly
            traceback.print_exc()
            os._exit(1)
        with self._lock:
            self._answers.write(json.dumps(answer) + "\n")
            self._answers.flush()

    def _answered(self, name: str, given: list[Any]) -> dict[str, Any]:
        try:
            return self._load(given) if name == "load" else {"answer": self._call(name, given)}
        except self._cryptoki.RefusedCallError as refused:
            return {"refused": [refused.function, refused.value]}

    def _load(self, given: list[Any]) -> dict[str, Any]:
        try:
            self._module = self._cryptoki.Cryptoki(*given)
        except AttributeError:  # it has no C_GetFunctionList
            return {"unloadable": None}
        except OSError as broken:
            return {"unloadable": str(broken)}
        return {"answer": self._module.threads}

    def _call(self, name: str, given: list[Any]) -> Any:
        if name == "tokens":
            tokens, silent = self._module.tokens()
            return [[astuple(token) for token in tokens], silent]
        if name == "mechanisms":
            return sorted(self._module.mechanisms(*given))
        if name == "find":
            session, kind, attributes = given
            return self._module.find(
                session, kind, {int(key): bytes.fromhex(value) for key, value in attributes.items()}
            )
        if name in {"sign", "sign_logged_in"}:
            session, key, mechanism, data, *pin = given
            return getattr(self._module, name)(session, key, mechanism, bytes.fromhex(data), *pin).hex()
        value = getattr(self._module, name)(*given)
        return value.hex() if isinstance(value, bytes) else value


def main() -> None:
    """Serve standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    ModuleServer(answers).serve(sys.stdin)


if __name__ == "__main__":
    main()
