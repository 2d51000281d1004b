"""What it means that a file was not signed although the dlib of Azure Artifact Signing was asked."""

from __future__ import annotations

import re
from typing import Final

from kspsign.diagnosis import diagnose
from kspsign.keys.azure_artifact_signing.errors import refusal
from kspsign.keys.rest import one_line
from kspsign.model.errors import SigningError
from kspsign.programs.dlib_output import DlibWords
from kspsign.signing.tool_errors import ToolRefusal, stamp_error

_STATUS = re.compile(r"^Status: (\d{3})\b", re.MULTILINE)
_CONTENT = re.compile(r"^Content:\s*\n(.*)$", re.MULTILINE)
_EXCEPTION = re.compile(r"^(?: ---> )?((?:[A-Z]\w*\.)+\w*Exception: .*)$", re.MULTILINE)
_SIGN_IN = re.compile(r"CredentialUnavailableException|AuthenticationFailedException|AuthenticationRequiredException")
_ASKED: Final = "what SignTool's dlib asked for"
_LASTING: Final = frozenset({400, 401, 403, 404})
"""Answers that every file would get."""


def dlib_refusal(said: str, words: DlibWords) -> ToolRefusal | None:
    """The error, where the dlib printed the reason; `said` is SignTool's own word on the file. None where it did not.

    Once an operation was begun the signature is paid for, and another try would pay again.
    """
    if "timestamp server" in said:
        return ToolRefusal(stamp_error(said), transient=True)
    if words.operation is not None:
        return ToolRefusal(_spent(said, words.operation), transient=False)
    thrown = _EXCEPTION.search(words.text)
    status = _STATUS.search(words.text)
    if status is not None:
        content = _CONTENT.search(words.text)
        body = content[1].encode() if content is not None else b""
        error = refusal(int(status[1]), body, error_class=SigningError, asked=_ASKED)
        lasting = int(status[1]) in _LASTING
        return ToolRefusal(error, transient=not lasting, everywhere=lasting)
    if thrown is None:
        return None
    signs_in = _SIGN_IN.search(words.text) is not None
    known = next((diagnosis for diagnosis in diagnose(words.text) if diagnosis.exact), None)
    error = SigningError(
        f"SignTool's dlib: {one_line(thrown[1])}" + (f" {known.cause}" if known is not None else ""),
        code="AZURE_SIGN_IN" if signs_in else "DLIB_FAILED",
        remedy=known.remedy
        if known is not None
        else "Run SignTool by hand with /debug /v and the same dlib, or leave "
        "--engine out: the native engine needs no dlib.",
    )
    return ToolRefusal(error, transient=not signs_in, everywhere=signs_in)


def _spent(said: str, operation: str) -> SigningError:
    ended = said or "it ended early"
    return SigningError(
        f"operation {operation} of Azure Artifact Signing was begun and gave no signed file: SignTool: {ended}",
        code="SIGNATURE_MAY_BE_SPENT",
        remedy="Look for the operation in the signing account's log; run again to sign the file, which requests "
        "another signature. The native engine (without --engine) fetches what was begun.",
    )
