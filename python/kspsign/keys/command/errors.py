"""What a program did wrong, or refused, as errors with a remedy."""

from __future__ import annotations

from typing import TypeVar

from kspsign.keys.command.messages import Fault
from kspsign.model.errors import LostSignatureError, PrerequisiteError, SigningError, ThrottledError
from kspsign.programs.json_lines import DialogueError, FaultKind

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
DOCTOR_REMEDY = (
    "Run kspsign doctor --key-store command with the same options: it shows what the program does wrong, line by line."
)
_PROTOCOL = "COMMAND_PROTOCOL"
_CODES = {
    FaultKind.NOT_STARTED: ("COMMAND_NOT_STARTED", "Check that it is a program for this machine, and may be run."),
    FaultKind.NO_ANSWER: (
        "COMMAND_TIMEOUT",
        "Find out what the program waits for; it must never ask a person. If it is slow, raise --key-command-timeout.",
    ),
    FaultKind.NOT_JSON: (
        _PROTOCOL,
        "The program's standard output is for answers alone: write messages to standard error, and flush each line.",
    ),
    FaultKind.WRONG_ID: (_PROTOCOL, "The program must repeat the id of the request in its answer, once."),
    FaultKind.ENDED: (
        "COMMAND_ENDED",
        "The program must answer until its standard input ends. What it wrote to standard error is above.",
    ),
    FaultKind.STOPPED: ("COMMAND_ENDED", "Solve the other request's error first."),
}
_REFUSED = "COMMAND_REFUSED"
_REFUSED_REMEDY = (
    "The program says so itself: correct what it names, in its arguments or its variables (--key-command-env)."
)


def broken(fault: DialogueError, asked: str, error_class: type[_ErrorT]) -> _ErrorT:
    """The error for a program that did not answer; nothing was spent."""
    code, remedy = _CODES[fault.kind]
    return error_class(f"the key command was asked for {asked}: {fault.text}", code=code, remedy=remedy)


def unusable(text: str, asked: str) -> PrerequisiteError:
    """The error for an answer that is not one of the protocol; nothing was spent."""
    return PrerequisiteError(
        f"the key command's answer to {asked} can't be used: {text}", code=_PROTOCOL, remedy=DOCTOR_REMEDY
    )


def refused(fault: Fault, said: str, asked: str, error_class: type[_ErrorT]) -> _ErrorT:
    """The error for a refusal; `said` is its message, masked."""
    code = "COMMAND_BUSY" if fault.kind == "busy" else _REFUSED
    remedy = "Run again later, or lower --jobs." if fault.kind == "busy" else _REFUSED_REMEDY
    return error_class(f"the key command refused {asked} ({fault.kind}): {said}", code=code, remedy=remedy)


def not_signed(fault: Fault, said: str, asked: str) -> SigningError:
    """The error for a signature that the program says it does not give."""
    if fault.kind == "busy":
        return ThrottledError(
            f"the key command is busy: {said}",
            code="COMMAND_BUSY",
            remedy="Lower --jobs, or have the program sign less at the same time (concurrent in its answer to chain).",
            retry_after=fault.retry_after,
        )
    if fault.kind == "spent":
        return maybe_spent(f"the key command lost {asked}: {said}")
    return refused(fault, said, asked, SigningError)


def lost(fault: DialogueError, asked: str) -> SigningError:
    """The error for a signature whose answer never came."""
    if not fault.sent:
        return broken(fault, asked, SigningError)
    slow = fault.kind is FaultKind.NO_ANSWER
    return maybe_spent(f"the key command was asked for {asked}: {fault.text}", timed_out=slow)


def maybe_spent(message: str, *, timed_out: bool = False) -> LostSignatureError:
    """The error where a signature may have been made that was never seen."""
    return LostSignatureError(
        message,
        code="SIGNATURE_MAY_BE_SPENT",
        remedy="If signatures are metered, look at how many were made. Correct the program (kspsign doctor --key-store "
        "command shows what it does wrong), then run again.",
        timed_out=timed_out,
    )
