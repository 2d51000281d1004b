"""The result of examining one prerequisite, and helpers that all examinations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from kspsign.model.errors import KspSignError
from kspsign.model.values import iso_utc

State = Literal["ok", "warning", "missing", "not needed"]


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """A prerequisite: `requirement` is its number in the documentation, `remedy` is empty when all is well."""

    name: str
    requirement: str
    state: State
    detail: str
    remedy: str = ""


def examine(name: str, requirement: str, look: Callable[[], str]) -> Prerequisite:
    """The result of `look`; one of our errors becomes a missing prerequisite with that error's remedy."""
    try:
        return Prerequisite(name, requirement, "ok", look())
    except KspSignError as error:
        return missing(name, requirement, error)


def examine_certificate_file(file: Path) -> Prerequisite:
    """Whether a certificate's file can be read."""
    from kspsign.certificates.file import read_certificate_file  # noqa: PLC0415 - it brings cryptography

    return examine("certificate file", "R8", lambda: f"{file} holds {len(read_certificate_file(file)[1])}")


def examine_certificate(leaf: bytes, name: str = "certificate") -> Prerequisite:
    """Whether the certificate that would sign (DER) is valid now, and for how many days."""
    from kspsign.certificates.parse import display_name, parse_certificate  # noqa: PLC0415 - it brings cryptography
    from kspsign.certificates.validity import expires_soon  # noqa: PLC0415 - likewise

    now = datetime.now(UTC)
    try:
        parsed = parse_certificate(leaf)
    except KspSignError as error:
        return missing(name, "R8, R10", error)
    begin, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    if not begin <= now <= end:
        detail = f"{display_name(parsed)} is valid from {iso_utc(begin)} to {iso_utc(end)}, not now"
        return Prerequisite(name, "R8, R10", "missing", detail, "Renew the certificate, or correct the clock.")
    detail = f"{display_name(parsed)}, valid for {(end - now).days} days, until {iso_utc(end)}"
    soon = expires_soon(parsed, now)
    return Prerequisite(name, "R8, R10", "warning" if soon else "ok", detail, "Renew it in time." if soon else "")


def missing(name: str, requirement: str, error: KspSignError) -> Prerequisite:
    """A prerequisite that this error says is missing."""
    return Prerequisite(name, requirement, "missing", str(error), error.remedy)
