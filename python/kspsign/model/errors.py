"""The one error tree. Only errors of this tree leave the engine's functions.

KspSignError
├── ConfigurationError      3    arguments, inputs or a configuration file are wrong
├── NoFilesMatchedError     4    the patterns match nothing
├── PrerequisiteError       5    a tool, certificate, credential or service is missing
├── ArtifactError           1    this file can't be signed as it is
├── SigningError            1    the key store refused, or answered with a wrong signature
│   ├── ThrottledError      1    it is too busy: it signed nothing and may be asked again
│   ├── LostSignatureError  1    its answer was lost: asking again may cost a second signature
│   └── OperationFailedError 1   it took the request on and made no signature, or does not know it any more
├── HaltedError             1    the run stopped before this file was tried
├── TimestampError          1    no timestamp server gave a usable token
├── TrustError              2    verification failed, in Windows' terms
├── PolicyError             2    what the policy wants signed is not there
├── GateRefusedError        7    a build's evidence does not let a release go on
├── UnaccountedUseError     8    a key was used, and no build accounts for it
├── NotReconciledError      2    the log of a key lacks signatures, or something could not be compared
└── CancelledError        130    the run was interrupted
"""

from __future__ import annotations

import errno
from typing import ClassVar

from kspsign.model.checks import CheckName
from kspsign.model.hresults import Hresult

NOT_TRIED = "NOT_TRIED"
CANCELLED = "CANCELLED"
_NO_THREAD = frozenset({"can't start new thread", "can't allocate lock"})
"""The interpreter's words where there is no memory for a thread's stack or lock."""
_NAMED = 20
"""Patterns that an error names; a list may hold thousands."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the system refused memory: for an object, a thread's stack, a file or a library."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or "malloc failure" in str(error)  # the latter of OpenSSL
    if isinstance(error, ImportError):
        return "failed to map segment" in str(error) or "cannot allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and str(error) in _NO_THREAD)


class KspSignError(Exception):
    """Root of every error: what happened (`message`), a stable `code`, and what to do (`remedy`).

    `file` names the artifact when there is one; `hresult` is the matching Windows code when there is one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, code: str, remedy: str, file: str | None = None, hresult: Hresult | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.remedy = remedy
        self.file = file
        self.hresult = hresult

    def __str__(self) -> str:
        return f"{self.file}: {self.message}" if self.file else self.message


class ConfigurationError(KspSignError):
    """Arguments, task inputs or a configuration file are wrong; nothing was done."""

    exit_code = 3

    def __init__(self, message: str, *, remedy: str, code: str = "CONFIGURATION", file: str | None = None) -> None:
        super().__init__(message, code=code, remedy=remedy, file=file)


class NoFilesMatchedError(KspSignError):
    """The patterns match no file; a stage that signs nothing must not be green."""

    exit_code = 4

    def __init__(self, patterns: tuple[str, ...], folder: str, reason: str = "") -> None:
        if not patterns:
            super().__init__(
                "no file is named, and no pattern",
                code="NO_FILES_MATCHED",
                remedy="Name the files, folders or patterns that are meant.",
            )
            return
        shown = ", ".join(patterns[:_NAMED])
        if len(patterns) > _NAMED:
            shown += f" and {len(patterns) - _NAMED} more"
        super().__init__(
            f"no file matches {shown} below {folder}{f': {reason}' if reason else ''}",
            code="NO_FILES_MATCHED",
            remedy="Check the patterns and the working folder; ** matches any number of folders, ! excludes.",
        )


class PrerequisiteError(KspSignError):
    """A tool, certificate, credential or service that the run needs is missing; no signature was spent."""

    exit_code = 5


class ArtifactError(KspSignError):
    """This file can't be signed as it is: unknown type, damaged, locked or read-only. Its bytes are untouched."""

    def __init__(self, hresult: Hresult, message: str, *, remedy: str | None = None, file: str | None = None) -> None:
        super().__init__(message, code=hresult.name, remedy=remedy or hresult.remedy, file=file, hresult=hresult)


class SigningError(KspSignError):
    """The key store refused to sign, or its signature does not match the certificate."""

    @classmethod
    def of(cls, error: KspSignError) -> SigningError:
        """An error that kept a signature from being asked for, as one of the file's."""
        return SigningError(error.message, code=error.code, remedy=error.remedy)


class ThrottledError(SigningError):
    """The key store is too busy (HTTP 429 or 503, no connection in time). Asking again spends no second signature.

    `retry_after` are the seconds that the service asks to wait, None when it does not say.
    """

    def __init__(self, message: str, *, code: str, remedy: str, retry_after: float | None = None) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.retry_after = retry_after

    @classmethod
    def of(cls, error: KspSignError, retry_after: float | None = None) -> ThrottledError:
        """The same refusal, after which the key store may be asked again."""
        return ThrottledError(error.message, code=error.code, remedy=error.remedy, retry_after=retry_after)


class LostSignatureError(SigningError):
    """A signature was asked for and its answer never seen: it may be spent, so it is not asked for again.

    `timed_out` is true when the service was too slow, rather than the connection broken.
    """

    def __init__(self, message: str, *, code: str, remedy: str, timed_out: bool = False) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.timed_out = timed_out


class OperationFailedError(SigningError):
    """A signature that the key store had taken on will not come.

    `gone` is true when the key store does not know the request (any more), or gave something else than a signature:
    one may have been spent. Otherwise it says that it made none.
    """

    def __init__(self, message: str, *, code: str, remedy: str, gone: bool) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.gone = gone


class HaltedError(KspSignError):
    """The run has stopped before all files were tried; of a file: nothing was asked of anybody for it."""

    def __init__(self, message: str, *, code: str = NOT_TRIED) -> None:
        super().__init__(
            message,
            code=code,
            remedy="Correct what stopped the run, and run it again: files already signed are skipped.",
        )


class TimestampError(KspSignError):
    """No timestamp server gave a token that holds; the signature that was obtained is not lost by this.

    `lasting` is true when a server answered, and what it answers will not hold for the next file either.
    """

    def __init__(self, message: str, *, code: str, remedy: str, lasting: bool = False) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.lasting = lasting


class TrustError(KspSignError):
    """Verification failed; `hresult` says how in Windows' terms and `check` which named check found it."""

    exit_code = 2

    def __init__(
        self, hresult: Hresult, detail: str, *, check: CheckName, file: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(detail, code=hresult.name, remedy=remedy or hresult.remedy, file=file, hresult=hresult)
        self.check = check


class PolicyError(KspSignError):
    """Patterns of what the policy wants signed match no file: a release would be incomplete and no one would notice."""

    exit_code = 2

    def __init__(self, policy: str, patterns: tuple[str, ...]) -> None:
        super().__init__(
            f"the policy {policy} wants {', '.join(patterns)} signed, and no file matches",
            code="POLICY_REQUIRED",
            remedy="Check that the build created them and that the patterns select them; names are below --folder.",
        )


class GateRefusedError(KspSignError):
    """The gate says no; `message` names each build and the checks that did not pass."""

    exit_code = 7

    def __init__(self, reasons: str) -> None:
        super().__init__(
            f"the gate refuses the release: {reasons}",
            code="GATE_REFUSED",
            remedy="Read the failed checks above; run the signing stage again, and release only what it verified.",
        )


class UnaccountedUseError(KspSignError):
    """The log of a key has uses that no ledger of a build accounts for: the key may be in other hands."""

    exit_code = 8

    def __init__(self, what: str) -> None:
        super().__init__(
            what,
            code="UNACCOUNTED_USE",
            remedy="Find out who made them, by the caller and address in the log. If they can't be explained, "
            "disable the credentials that the caller used, and have the certificate revoked.",
        )


class NotReconciledError(KspSignError):
    """Every use of a key is accounted for, as far as it could be compared: its log lacks signatures that were made, or
    something was not compared."""

    exit_code = 2

    def __init__(self, what: str, *, missing: bool) -> None:
        super().__init__(
            what,
            code="LOG_LACKS_SIGNATURES" if missing else "NOT_RECONCILED",
            remedy="Find out why the log lacks them: records may have been deleted, or the export is incomplete."
            if missing
            else "Export the log of the whole time and of every key, correct a misspelt --key, or name the period "
            "that the log covers with --since and --until; keep a ledger that was changed as evidence.",
        )


class CancelledError(KspSignError):
    """The run was interrupted (SIGINT, SIGTERM, Ctrl-C, a cancelled job)."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__(
            "the run was cancelled",
            code=CANCELLED,
            remedy="Run it again: files already signed are skipped.",
        )
