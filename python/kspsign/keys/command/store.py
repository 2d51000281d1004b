"""The command key store: any program that signs digests, asked in JSON lines (docs/reference/command-key-store.md).

Only digests leave this process, and the program gets no variable but those that are named for it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import display_name, parse_certificate, to_der
from kspsign.keys.command.command_line import CommandLine
from kspsign.keys.command.errors import lost, maybe_spent, not_signed, unusable
from kspsign.keys.command.messages import (
    ChainAnswer,
    Fault,
    SignAnswer,
    UnusableMessageError,
    decode,
    read_answer,
    sign_request,
)
from kspsign.keys.command.options import CommandOptions
from kspsign.keys.command.processes import CHAIN, CommandProcesses
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, reference_part, unreadable_reference
from kspsign.model.errors import PrerequisiteError, SigningError, TrustError
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.programs.json_lines import DialogueError

_SHOWN_LINES = 100
"""Lines of a program's standard error that are passed on in a run."""


class CommandStore(KeyStore):
    """One program. `sign` may be called by many threads."""

    name: Final = "command"
    test_signing: Final = False

    def __init__(self, processes: CommandProcesses, options: CommandOptions, said: ChainAnswer) -> None:
        self._processes, self._options = processes, options
        self._chain = chain_in(said.certificates, CHAIN)
        self.alias = said.alias or options.keypair_alias
        self._capabilities = Capabilities(
            digests=frozenset(map(DigestAlgorithm, said.digests)),
            concurrent=said.concurrent * options.key_command_workers,
            costly=said.costly,
            fixed_certificate=said.fixed_certificate,
        )

    @classmethod
    def open(cls, options: CommandOptions, surroundings: Surroundings) -> Self:
        """Start the program and ask it for its certificate.

        Raises ConfigurationError when it is not named or a variable is missing; PrerequisiteError when it does not
        start, does not keep to the protocol or refuses; CancelledError.
        """
        return cls._connect(CommandLine.of(options, surroundings), options, surroundings)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: CommandOptions, surroundings: Surroundings) -> Self:
        """The program that was synchronised, unless the options name one; its variables are those of the options."""
        if options.key_command is not None:
            return cls.open(options, surroundings)
        program, arguments = reference_part(reference, "program"), reference_part(reference, "arguments")
        named = options.model_copy(update={"keypair_alias": options.keypair_alias or reference.get("alias") or None})
        try:
            words = tuple(map(str, json.loads(arguments)))
        except (ValueError, TypeError, RecursionError) as broken:
            raise unreadable_reference("arguments") from broken
        return cls._connect(CommandLine.named(program, words, named, surroundings), named, surroundings)

    @classmethod
    def _connect(cls, line: CommandLine, options: CommandOptions, surroundings: Surroundings) -> Self:
        with contextlib.ExitStack() as undone:
            processes = CommandProcesses(
                line,
                alias=options.keypair_alias,
                count=options.key_command_workers,
                seconds=options.key_command_timeout,
                hear=_Relay(surroundings).hear,
                cancelled=surroundings.cancelled,
            )
            undone.callback(processes.close)
            store = cls(processes, options, processes.chain())
            undone.pop_all()
        return store

    @classmethod
    def examine(cls, options: CommandOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Whether the program keeps to the protocol, line by line; it makes signatures only where they are free, or
        --key-command-test says so."""
        from kspsign.keys.command.examine import examine_command  # noqa: PLC0415 - for the doctor alone

        return examine_command(options, surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """As the program says in its answer to chain."""
        return self._capabilities

    def certificate_chain(self) -> tuple[bytes, ...]:
        """As the program said when it was opened; asked for now where the certificate is not fixed."""
        if self._capabilities.fixed_certificate:
            return self._chain
        return chain_in(self._processes.chain().certificates, CHAIN)

    def key_reference(self) -> dict[str, str]:
        """The program, its arguments, and the alias that it was asked for."""
        line = self._processes.line
        alias = self._options.keypair_alias
        return {
            "program": line.program,
            "arguments": json.dumps(line.arguments),
            **({} if alias is None else {"alias": alias}),
        }

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Have the program sign; see KeyStore."""
        asked = f"a {algorithm} signature"
        request = sign_request(digest, algorithm, self._options.keypair_alias)
        try:
            answer = self._processes.ask(request, self._admit)
        except DialogueError as fault:
            raise lost(fault, asked) from fault
        except PrerequisiteError as useless:
            raise SigningError.of(useless) from useless
        try:
            said = read_answer(answer, SignAnswer)
            if isinstance(said, Fault):
                raise not_signed(said, self._processes.line.mask(said.message), asked)
            value = decode(said.signature, "its signature")
            fixed = self._capabilities.fixed_certificate
            chain = None if fixed else chain_in(said.certificates or (), asked)
        except UnusableMessageError as wrong:
            text = self._processes.line.mask(str(wrong))
            raise maybe_spent(f"the key command's answer to {asked} can't be used: {text}") from wrong
        except PrerequisiteError as wrong:
            raise maybe_spent(wrong.message) from wrong
        return RawSignature(algorithm, value, chain)

    def close(self) -> None:
        """End the program; calling it again does nothing."""
        self._processes.close()

    def _admit(self, said: ChainAnswer) -> None:
        """A further process has the same certificate, where that is fixed. Raises SigningError."""
        if said.fixed_certificate and chain_in(said.certificates, CHAIN)[0] != self._chain[0]:
            raise SigningError(
                "the key command names another certificate than before",
                code="CERTIFICATE_CHANGED",
                remedy="Run certsync again: the key was renewed while files were signed.",
            )


class _Relay:
    """Passes a program's standard error on to people, as far as it is worth reading."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings, self._lines = surroundings, 0

    def hear(self, line: str) -> None:
        self._lines += 1
        if line.strip() and self._lines <= _SHOWN_LINES:
            self._surroundings.notice(f"key command: {line}")
        elif self._lines == _SHOWN_LINES + 1:
            self._surroundings.notice(f"key command: more than {_SHOWN_LINES} lines, the rest is not shown")


def chain_in(certificates: tuple[str, ...], asked: str) -> tuple[bytes, ...]:
    """The chain that an answer holds, the signing certificate first. Raises PrerequisiteError."""
    try:
        found = _parsed(certificates)
        chain = ordered_chain(to_der(found[0]), found)
        leaf = parse_certificate(chain[0])
        public = leaf.public_key()
    except (UnusableMessageError, TrustError, ValueError) as wrong:
        raise unusable(str(wrong), asked) from wrong
    if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise PrerequisiteError(
            f"certificate {display_name(leaf)} of the key command has neither an RSA nor an EC key",
            code="UNSUPPORTED_KEY",
            remedy="Use a certificate with an RSA key of at least 2048 bits or a P-256, P-384 or P-521 key.",
        )
    return chain


def _parsed(certificates: tuple[str, ...]) -> tuple[x509.Certificate, ...]:
    """Raises UnusableMessageError, TrustError for what is not DER."""
    if not certificates:
        raise UnusableMessageError("it has no certificate, though fixed_certificate is false")
    return tuple(parse_certificate(decode(text, "a certificate")) for text in certificates)
