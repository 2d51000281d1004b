"""One prerequisite of a run as an examination found it, and what all examinations share.

A check has one of three answers: it was made and passed ("warning" passes too, with something to do in time), it was
made and failed, or it was not made, with the reason. What was not made never reads as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from kspsign.model.errors import KspSignError
from kspsign.model.values import iso_utc

State = Literal["ok", "warning", "failed", "not checked"]

OPTIONS, CREDENTIALS, HOST, SIGN_IN = "options", "credentials", "host", "sign-in"
KEY, PERMISSION, CERTIFICATE, NEWER = "key", "permission", "certificate", "newer certificate"
CHAIN, QUOTA, TEST_SIGNATURE = "certificate chain", "signatures left", "test signature"
ALWAYS = (CREDENTIALS, KEY, CERTIFICATE)
"""The checks that every key store answers for; one that it does not make is said to be not checked."""

COSTS_A_SIGNATURE = "costs a signature; the first file of a run is the proof"


class Prerequisite(NamedTuple):
    """A prerequisite and its state; `remedy` says what to do and `code` is the error's, both empty when all is well.

    `chain` is the certificate that would sign and its issuers (DER, leaf first), on the line that is about it: whoever
    asked judges whether it is trusted.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""
    code: str = ""
    chain: tuple[bytes, ...] = ()


def passed(name: str, detail: str) -> Prerequisite:
    """A check that was made and passed."""
    return Prerequisite(name, "ok", detail)


def warned(name: str, detail: str, remedy: str) -> Prerequisite:
    """A check that passed, with something to do before it does not any more."""
    return Prerequisite(name, "warning", detail, remedy)


def failed(name: str, error: KspSignError) -> Prerequisite:
    """A check that failed as this error says."""
    return Prerequisite(name, "failed", str(error), error.remedy, error.code)


def not_checked(name: str, reason: str) -> Prerequisite:
    """A check that was not made, and why."""
    return Prerequisite(name, "not checked", reason)


def examine(name: str, look: Callable[[], str]) -> Prerequisite:
    """What `look` finds; an error of ours is a failed check with that error's remedy."""
    try:
        return passed(name, look())
    except KspSignError as error:
        return failed(name, error)


def completed(expected: Sequence[str], found: Iterable[Prerequisite], unasked: str = "") -> Iterator[Prerequisite]:
    """`found`, then each of `expected` that is missing there: not checked, because of the last that failed.

    Where none failed the reason is `unasked`.
    """
    seen: dict[str, Prerequisite] = {}
    for check in found:
        seen[check.name] = check
        yield check
    stop = next((name for name, check in reversed(seen.items()) if check.state == "failed"), None)
    for name in expected:
        if name not in seen:
            yield not_checked(name, f'needs "{stop}", which failed' if stop else unasked)


def examine_certificate(chain: Sequence[bytes], name: str = CERTIFICATE) -> Prerequisite:
    """Whether the leaf of `chain` (DER, leaf first) is valid now, and for how many days; the chain goes with it."""
    from kspsign.certificates.parse import display_name, parse_certificate  # noqa: PLC0415 - it brings cryptography
    from kspsign.certificates.validity import expires_soon  # noqa: PLC0415 - likewise

    now = datetime.now(UTC)
    try:
        parsed = parse_certificate(chain[0])
    except KspSignError as error:
        return failed(name, error)
    begin, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    if not begin <= now <= end:
        what = f"expired on {iso_utc(end)}" if now > end else f"is not valid before {iso_utc(begin)}"
        remedy = "Renew the certificate; if it is valid, correct the agent's clock."
        return Prerequisite(name, "failed", f"{display_name(parsed)} {what}", remedy, "CERTIFICATE_NOT_VALID")
    days = (end - now).days
    detail = f"{display_name(parsed)}, valid for {days} day{'' if days == 1 else 's'}, until {iso_utc(end)}"
    soon = expires_soon(parsed, now)
    remedy = "Renew it in time: without a renewed certificate the pipeline stops on that day." if soon else ""
    return Prerequisite(name, "warning" if soon else "ok", detail, remedy, chain=tuple(chain))


def examine_newer(remarks: Sequence[str], *, superseded: bool) -> Prerequisite:
    """What the choice among several certificates of one key says; `superseded` when a newer one would sign too."""
    if not remarks:
        return passed(NEWER, "none: it is the newest valid certificate of its key")
    if superseded:
        remedy = "Name the newer one, or the key alone: then the newest valid certificate signs."
        return warned(NEWER, "; ".join(remarks), remedy)
    return passed(NEWER, "; ".join(remarks))
