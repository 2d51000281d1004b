"""What a tool's refusal means: the error of ours, and whether another try can help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kspsign.errors import ArtifactError, KspSignError, SigningError, TimestampError
from kspsign.hresults import Hresult
from kspsign.tools.signtool_output import SignToolWords


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error, whether trying again can help, and whether every file would meet it."""

    error: KspSignError
    transient: bool
    everywhere: bool = False


_CERTSYNC = "Run certsync in the same job and as the same user, and look at --certificate-store (user or system)."
_KEY = (
    "Check that the KSP is registered under exactly that name (`smctl windows ksp list`, --csp), the alias's case, and "
    "the SM_* credentials: `kspsign doctor` checks them all."
)
_SERVICE = "It is the KSP's answer: `smctl healthcheck` and its log (smksp.log) say more; quota and access rights too."
_RECOGNISED = re.compile(r"cannot be (?:signed|verified) because it is not recognized|0x800B0003", re.IGNORECASE)
_IN_USE = re.compile(r"being used by another process|0x80070020", re.IGNORECASE)
_DAMAGED = re.compile(r"0x800700C1|zero size|0x8007000B", re.IGNORECASE)
_READ_ONLY = re.compile(r"0x80070005|access is denied", re.IGNORECASE)
_STAMP = re.compile(r"timestamp server", re.IGNORECASE)


def file_refusal(said: str) -> Refusal:
    """What SignTool's error about one file means."""
    if _RECOGNISED.search(said):
        return Refusal(ArtifactError(Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, f"SignTool: {said}"), transient=False)
    if _IN_USE.search(said):
        return Refusal(ArtifactError(Hresult.ERROR_SHARING_VIOLATION, f"SignTool: {said}"), transient=True)
    if _DAMAGED.search(said):
        return Refusal(ArtifactError(Hresult.ERROR_BAD_FORMAT, f"SignTool: {said}"), transient=False)
    if _READ_ONLY.search(said):
        return Refusal(ArtifactError(Hresult.ERROR_ACCESS_DENIED, f"SignTool: {said}"), transient=False)
    if _STAMP.search(said):
        return Refusal(stamp_error(said), transient=True)
    error = SigningError(f"SignTool: {said}", code="SIGNTOOL_FAILED", remedy=_SERVICE)
    return Refusal(error, transient=True)


def call_refusal(words: SignToolWords, exit_code: int | None) -> Refusal:
    """What it means that a whole call ended before its files were done."""
    said = words.general or f"it ended with exit code {exit_code} and said nothing"
    if exit_code is None:
        error = SigningError(
            f"SignTool did not end in time: {said}", code="SIGNTOOL_TIMEOUT", remedy=f"The KSP hangs. {_SERVICE}"
        )
        return Refusal(error, transient=True)
    if words.dropped_by is not None or "No certificates were found" in said:
        return _no_certificate(words, said)
    if "No private key is available" in said:
        # A KSP opens the key over the network: the next try may find it.
        error = SigningError(f"SignTool: {said}", code="NO_PRIVATE_KEY", remedy=_KEY)
        return Refusal(error, transient=True, everywhere=True)
    if "does not match the public key" in said:
        error = SigningError(
            f"SignTool: {said}", code="KEY_MISMATCH", remedy="The certificate belongs to another key pair alias."
        )
        return Refusal(error, transient=False, everywhere=True)
    return Refusal(SigningError(f"SignTool: {said}", code="SIGNTOOL_FAILED", remedy=_SERVICE), transient=True)


def stamp_error(said: str) -> TimestampError:
    """No server gave a timestamp."""
    return TimestampError(
        f"no timestamp: {said}",
        code="TIMESTAMP_UNAVAILABLE",
        remedy="Check that the agent reaches the server (proxy, firewall: plain http, port 80), or name others with "
        "--timestamp-url; the file was not changed.",
    )


def _no_certificate(words: SignToolWords, said: str) -> Refusal:
    """By the filter that left none (SignTool /debug): expired, not for code signing, not there, or without key."""
    dropped = f" (the {words.dropped_by} filter left none)" if words.dropped_by else ""
    key_lost = words.dropped_by == "Private Key"
    error = SigningError(
        f"SignTool: {said}{dropped}",
        code="NO_PRIVATE_KEY" if key_lost else "CERTIFICATE_NOT_FOUND",
        remedy=_KEY if key_lost else _CERTSYNC,
    )
    return Refusal(error, transient=key_lost, everywhere=True)
