"""What the doctor asks of a program: whether it keeps to the protocol, each rule by itself.

Signatures are asked for only where the program says that they are free, or --key-command-test allows them.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.public_key import describe_key
from kspsign.keys.command.command_line import CommandLine, missing_variables
from kspsign.keys.command.errors import broken, refused, unusable
from kspsign.keys.command.messages import (
    ChainAnswer,
    Fault,
    SignAnswer,
    UnusableMessageError,
    chain_request,
    decode,
    read_answer,
    sign_request,
)
from kspsign.keys.command.options import CommandOptions
from kspsign.keys.command.processes import CHAIN, END_SECONDS
from kspsign.keys.command.store import chain_in
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    CREDENTIALS,
    HOST,
    KEY,
    NEWER,
    OPTIONS,
    PERMISSION,
    SIGN_IN,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine_certificate,
    failed,
    not_checked,
    passed,
    warned,
)
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm
from kspsign.network.retry import LONGEST_PAUSE
from kspsign.programs.json_lines import DialogueError, JsonLineProgram

PROGRAM, PROTOCOL, UNKNOWN, AT_ONCE = "program", "protocol", "unknown requests", "requests at once"
ENDING, MESSAGES = "end of the program", "standard error"
_CHECKS: Final = (
    CREDENTIALS,
    PROGRAM,
    PROTOCOL,
    UNKNOWN,
    KEY,
    PERMISSION,
    TEST_SIGNATURE,
    AT_ONCE,
    CERTIFICATE,
    ENDING,
)
_ABOUT: Final = {
    "credentials": SIGN_IN,
    "host": HOST,
    "key": KEY,
    "permission": PERMISSION,
    "certificate": CERTIFICATE,
}
_UNKNOWN: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("an algorithm that it does not know", {"op": "sign", "algorithm": "none", "digest": ""}),
    ("an op that it does not know", {"op": "none"}),
)
_BUSY_ATTEMPTS: Final = 5
_MOST_AT_ONCE: Final = 8
_SHOWN: Final = 3
_PAID: Final = "costs a signature; --key-command-test has one made"


def examine_command(options: CommandOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a program, and every rule of the protocol that can be seen from outside."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(NEWER, "the program chooses the certificate")


def _examined(options: CommandOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    heard: list[str] = []
    if options.key_command is not None and missing_variables(options, surroundings.environment):
        yield failed(CREDENTIALS, _not_set(options, surroundings))
        return
    try:
        line = CommandLine.of(options, surroundings)
    except ConfigurationError as error:
        yield failed(OPTIONS, error)
        return
    except PrerequisiteError as error:
        yield failed(PROGRAM, error)
        return
    given = ", ".join(options.key_command_env) or "none are named"
    yield passed(CREDENTIALS, f"variables that the program gets: {given}")
    try:
        process = JsonLineProgram(
            line.words, line.environment, seconds=options.key_command_timeout, mask=line.mask, hear=heard.append
        )
    except DialogueError as fault:
        yield failed(PROGRAM, broken(fault, CHAIN, PrerequisiteError))
        return
    with contextlib.ExitStack() as ended:
        ended.callback(process.close, 0)
        yield passed(PROGRAM, f"{line.program} starts")
        yield from _Conversation(process, line, options, surroundings.cancelled).checks()
        if process.is_usable:
            yield _ending(process)
    yield from _messages(heard)


class _Conversation:
    """The requests of the doctor, in the order in which they build on each other."""

    def __init__(
        self, process: JsonLineProgram, line: CommandLine, options: CommandOptions, cancelled: threading.Event
    ) -> None:
        self._process, self._line, self._options, self._cancelled = process, line, options, cancelled

    def checks(self) -> Iterator[Prerequisite]:
        begin = time.monotonic()
        try:
            said = read_answer(self._ask(chain_request(self._options.keypair_alias)), ChainAnswer)
            seconds = time.monotonic() - begin
            if isinstance(said, Fault):
                yield passed(PROTOCOL, f"answers chain within {seconds:.1f} s, with an error")
                yield failed(_ABOUT.get(said.about or "key", KEY), self._refused(said, CHAIN))
                return
            chain = chain_in(said.certificates, CHAIN)
        except DialogueError as fault:
            yield failed(PROTOCOL, broken(fault, CHAIN, PrerequisiteError))
            return
        except UnusableMessageError as wrong:
            yield failed(PROTOCOL, unusable(self._line.mask(str(wrong)), CHAIN))
            return
        except PrerequisiteError as wrong:
            yield failed(PROTOCOL, wrong)
            return
        many = "a certificate" if len(chain) == 1 else f"{len(chain)} certificates"
        yield passed(PROTOCOL, f"answers chain within {seconds:.1f} s, with {many}")
        yield self._key(said, chain)
        yield from self._unknown()
        yield from self._signatures(said, chain)
        yield examine_certificate(chain)

    def _key(self, said: ChainAnswer, chain: tuple[bytes, ...]) -> Prerequisite:
        alias = said.alias or self._options.keypair_alias
        what = [f"key {alias}" if alias else "the key", describe_key(parse_certificate(chain[0])), *said.digests]
        what.append("free of charge" if not said.costly else "each signature may be charged")
        return passed(KEY, ", ".join(what))

    def _unknown(self) -> Iterator[Prerequisite]:
        """It refuses what it does not know instead of signing, ending or saying nothing."""
        for asked, request in _UNKNOWN:
            try:
                said = read_answer(self._ask(request), SignAnswer)
            except DialogueError as fault:
                yield failed(UNKNOWN, broken(fault, asked, PrerequisiteError))
                return
            except UnusableMessageError as wrong:
                yield failed(UNKNOWN, unusable(self._line.mask(str(wrong)), asked))
                return
            if not isinstance(said, Fault) or said.kind != "refused":
                how = f"with an error of kind {said.kind}" if isinstance(said, Fault) else "with a signature"
                yield failed(UNKNOWN, unusable(f"it answers {how} instead of an error of kind refused", asked))
                return
        yield passed(UNKNOWN, "are refused: an op and an algorithm that do not exist")

    def _signatures(self, said: ChainAnswer, chain: tuple[bytes, ...]) -> Iterator[Prerequisite]:
        if not self._process.is_usable:
            return
        if said.costly and not self._options.key_command_test:
            yield not_checked(PERMISSION, "only a signature shows whether the program may sign")
            yield not_checked(TEST_SIGNATURE, _PAID)
            yield not_checked(AT_ONCE, _PAID if said.concurrent > 1 else "one request at a time, as the program says")
            return
        for digest in said.digests:
            check = self._signature(DigestAlgorithm(digest), said, chain)
            if check is not None:
                yield check
                return
        yield passed(PERMISSION, "the program signs")
        yield passed(TEST_SIGNATURE, f"made with {', '.join(said.digests)}; the certificate verifies each")
        if said.concurrent > 1:
            yield self._at_once(said, chain)
        else:
            yield not_checked(AT_ONCE, "one request at a time, as the program says")

    def _signature(
        self, algorithm: DigestAlgorithm, said: ChainAnswer, chain: tuple[bytes, ...]
    ) -> Prerequisite | None:
        """A test signature: what is wrong with it, None when it is right. A busy program is waited for."""
        asked = f"a {algorithm} signature"
        digest = secrets.token_bytes(int(algorithm.removeprefix("sha")) // 8)
        try:
            for _ in range(_BUSY_ATTEMPTS):
                answer = read_answer(
                    self._ask(sign_request(digest, algorithm, self._options.keypair_alias)), SignAnswer
                )
                if not isinstance(answer, Fault):
                    return self._judged(answer, digest, algorithm, said, chain)
                if answer.kind != "busy":
                    name = _ABOUT[answer.about] if answer.about else PERMISSION
                    return failed(name, self._refused(answer, asked))
                self._cancelled.wait(min(answer.retry_after or 1, LONGEST_PAUSE))
            return failed(TEST_SIGNATURE, unusable(f"it is busy, {_BUSY_ATTEMPTS} times in a row", asked))
        except DialogueError as fault:
            return failed(TEST_SIGNATURE, broken(fault, asked, PrerequisiteError))
        except UnusableMessageError as wrong:
            return failed(TEST_SIGNATURE, unusable(self._line.mask(str(wrong)), asked))

    def _judged(
        self,
        answer: SignAnswer,
        digest: bytes,
        algorithm: DigestAlgorithm,
        said: ChainAnswer,
        chain: tuple[bytes, ...],
    ) -> Prerequisite | None:
        asked = f"a {algorithm} signature"
        value = decode(answer.signature, "its signature")
        try:
            leaf = chain[0] if said.fixed_certificate else chain_in(answer.certificates or (), asked)[0]
        except PrerequisiteError as wrong:
            return failed(TEST_SIGNATURE, wrong)
        if signature_holds(parse_certificate(leaf).public_key(), value, digest, algorithm, None):
            return None
        return failed(
            TEST_SIGNATURE,
            PrerequisiteError(
                f"the certificate does not verify the {algorithm} signature: it is of another key, of other bytes "
                "(the digest must be signed as it is, not hashed again), or of another scheme than PKCS#1 v1.5 and "
                "ECDSA",
                code="KEY_MISMATCH",
                remedy="Sign the digest itself (openssl pkeyutl, CKM_RSA_PKCS with DigestInfo), and name the "
                "certificate of this key first in the answer to chain.",
            ),
        )

    def _at_once(self, said: ChainAnswer, chain: tuple[bytes, ...]) -> Prerequisite:
        """As many requests as it says that it takes, up to a bound, each answered with its own signature."""
        count = min(said.concurrent, _MOST_AT_ONCE)
        algorithm = DigestAlgorithm(said.digests[0])
        found: list[Prerequisite | None] = [None] * count

        def sign(place: int) -> None:
            found[place] = self._signature(algorithm, said, chain)

        threads = [threading.Thread(target=sign, args=(place,), daemon=True) for place in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrong = next((check for check in found if check is not None), None)
        if wrong is None:
            return passed(AT_ONCE, f"{count} at the same time are answered, each with its own signature")
        return Prerequisite(AT_ONCE, "failed", f"{count} at once: {wrong.detail}", wrong.remedy, wrong.code)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._process.ask(request, self._cancelled)

    def _refused(self, fault: Fault, asked: str) -> KspSignError:
        return refused(fault, self._line.mask(fault.message), asked, PrerequisiteError)


def _not_set(options: CommandOptions, surroundings: Surroundings) -> KspSignError:
    try:
        CommandLine.named("", (), options, surroundings)
    except ConfigurationError as error:
        return error
    raise AssertionError  # a variable is missing


def _ending(process: JsonLineProgram) -> Prerequisite:
    begin = time.monotonic()
    code = process.close(END_SECONDS)
    remedy = "End the program with exit code 0 when its standard input ends."
    if code is None:
        return warned(ENDING, f"it still runs {END_SECONDS:g} s after its standard input has ended", remedy)
    if code:
        return warned(ENDING, f"it ends with exit code {code} when its standard input ends", remedy)
    return passed(ENDING, f"ends {time.monotonic() - begin:.1f} s after its standard input, with exit code 0")


def _messages(heard: list[str]) -> Iterator[Prerequisite]:
    """What it wrote for people. A secret among it is masked, and still a fault."""
    lines = [text for text in heard if text.strip()]
    if not lines:
        return
    last = " | ".join(lines[-_SHOWN:])
    said = f"{len(lines)} line{'' if len(lines) == 1 else 's'}: {last}"
    if any("***" in text for text in lines):
        yield warned(MESSAGES, said, "Never write a secret: kspsign masks only what it gave to the program.")
    else:
        yield passed(MESSAGES, said)
