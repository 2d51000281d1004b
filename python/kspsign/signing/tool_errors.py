"""Maps a tool's errors to ours, and decides whether a retry can help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kspsign.diagnosis import diagnose
from kspsign.model.errors import ArtifactError, KspSignError, SigningError, TimestampError
from kspsign.model.hresults import Hresult
from kspsign.programs.run import Ran
from kspsign.programs.signtool_output import SignToolWords


@dataclass(frozen=True, slots=True)
class ToolRefusal:
    """An error, whether trying again can help, and whether every file would meet it."""

    error: KspSignError
    transient: bool
    everywhere: bool = False


_SERVICE = "It is the KSP's answer: `smctl healthcheck` and its log (smksp.log) say more; quota and access rights too."
_RECOGNISED = re.compile(r"cannot be (?:signed|verified) because it is not recognized|0x800B0003", re.IGNORECASE)
_IN_USE = re.compile(r"being used by another process|0x80070020", re.IGNORECASE)
_DAMAGED = re.compile(r"0x800700C1|zero size|0x8007000B", re.IGNORECASE)
_READ_ONLY = re.compile(r"0x80070005|access is denied", re.IGNORECASE)
_STAMP = re.compile(r"timestamp server", re.IGNORECASE)


def file_refusal(said: str) -> ToolRefusal:
    """What SignTool's error about one file means."""
    if _RECOGNISED.search(said):
        return ToolRefusal(ArtifactError(Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, f"SignTool: {said}"), transient=False)
    if _IN_USE.search(said):
        return ToolRefusal(ArtifactError(Hresult.ERROR_SHARING_VIOLATION, f"SignTool: {said}"), transient=True)
    if _DAMAGED.search(said):
        return ToolRefusal(ArtifactError(Hresult.ERROR_BAD_FORMAT, f"SignTool: {said}"), transient=False)
    if _READ_ONLY.search(said):
        return ToolRefusal(ArtifactError(Hresult.ERROR_ACCESS_DENIED, f"SignTool: {said}"), transient=False)
    if _STAMP.search(said):
        return ToolRefusal(stamp_error(said), transient=True)
    return ToolRefusal(_explained(said, said, "SIGNTOOL_FAILED"), transient=True)


def call_refusal(ran: Ran, words: SignToolWords) -> ToolRefusal:
    """What it means that a whole call ended before its files were done."""
    said = words.general or f"it ended with exit code {ran.exit_code} and said nothing"
    if ran.exit_code is None:
        return ToolRefusal(_explained(said, f"it did not end in time: {said}", "SIGNTOOL_TIMEOUT"), transient=True)
    if words.dropped_by is not None or "No certificates were found" in said:
        dropped = f" (the {words.dropped_by} filter left none)" if words.dropped_by else ""
        key_lost = words.dropped_by == "Private Key"
        code = "NO_PRIVATE_KEY" if key_lost else "CERTIFICATE_NOT_FOUND"
        return ToolRefusal(_explained(ran.text, f"{said}{dropped}", code), transient=key_lost, everywhere=True)
    if "No private key is available" in said:
        # A KSP opens the key over the network: the next try may find it.
        return ToolRefusal(_explained(said, said, "NO_PRIVATE_KEY"), transient=True, everywhere=True)
    if "does not match the public key" in said:
        return ToolRefusal(_explained(said, said, "KEY_MISMATCH"), transient=False, everywhere=True)
    return ToolRefusal(_explained(ran.text, said, "SIGNTOOL_FAILED"), transient=True)


def _explained(text: str, said: str, code: str) -> SigningError:
    """The error for `said`, its remedy that of the known failure in the whole `text`."""
    known = next((diagnosis for diagnosis in diagnose(text) if diagnosis.exact), None)
    cause = f" {known.cause}" if known else ""
    return SigningError(f"SignTool: {said}{cause}", code=code, remedy=known.remedy if known else _SERVICE)


def stamp_error(said: str) -> TimestampError:
    """No server gave a timestamp."""
    return TimestampError(
        f"no timestamp: {said}",
        code="TIMESTAMP_UNAVAILABLE",
        remedy="Check that the agent reaches the server (proxy, firewall: plain http, port 80), or name others with "
        "--timestamp-url; the file was not changed.",
    )
