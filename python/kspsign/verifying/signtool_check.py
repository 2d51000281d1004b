"""Verification by SignTool in addition to our own: its checks in the verdict, and a check that both agree."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding, SyncedCertificate
from kspsign.settings.model import Settings

if TYPE_CHECKING:
    from kspsign.programs.signtool_verify import SignToolVerdict, SignToolVerifier

_MEANINGS = (
    ("No signature found", Hresult.TRUST_E_NOSIGNATURE),
    ("root certificate which is not trusted", Hresult.CERT_E_UNTRUSTEDROOT),
    ("not valid for the requested usage", Hresult.CERT_E_WRONG_USAGE),
    ("because it is not recognized", Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN),
    ("not timestamped|error has been found with the timestamp", Hresult.TRUST_E_TIME_STAMP),
)
_CODE = r"0x[0-9A-Fa-f]{8}\b"


Waiting = Callable[[], contextlib.AbstractContextManager[None]]
"""Enters a block in which the thread only waits, so that others may work meanwhile."""


class SecondOpinion:
    """SignTool's findings on a file; safe to share between threads, which are `waiting` while it works.

    `concurrency` is how many files it takes at a time.
    """

    def __init__(self, verifier: SignToolVerifier, waiting: Waiting) -> None:
        self._verifier, self._waiting = verifier, waiting
        self.concurrency = verifier.concurrency

    def findings(self, path: Path, *, ours: bool) -> tuple[Finding, ...]:
        """Its checks as ours have them, and "signtool-agreement": `ours` is whether our own verification passed."""
        with self._waiting():
            verdict = self._verifier.verify(path)
        hresult = None if verdict.ok else meaning(verdict.said)
        agreed = f"both {'accept' if ours else 'refuse'} it"
        if verdict.ok != ours:
            agreed = f"SignTool {'accepts' if verdict.ok else 'refuses'} it, our own verification does not agree"
        disagreement = hresult or Hresult.TRUST_E_FAIL
        return (
            *_parts(verdict),
            Finding("signtool", verdict.said or "Successfully verified (/pa /all)", hresult),
            Finding("signtool-agreement", agreed, None if verdict.ok == ours else disagreement),
        )


@contextlib.contextmanager
def open_second_opinion(
    settings: Settings, certificate: SyncedCertificate | None, cancelled: threading.Event, waiting: Waiting
) -> Iterator[SecondOpinion | None]:
    """SignTool's opinion where SignTool signs or --signtool-verify asks for it; None elsewhere.

    `cancelled` stops the calls under way. SignTool takes many files in one call, and a thread that waits for it must
    not keep the others from bringing theirs: it is `waiting` meanwhile.

    Raises PrerequisiteError when SignTool is missing.
    """
    signs = certificate is not None and _engine(settings, certificate) == "signtool"
    if not (signs or settings.signtool_verify):
        yield None
        return
    from kspsign.programs.signtool_verify import SignToolVerifier  # noqa: PLC0415 - most runs ask no SignTool

    with contextlib.closing(SignToolVerifier(settings, cancelled)) as verifier:
        yield SecondOpinion(verifier, waiting)


def _engine(settings: Settings, certificate: SyncedCertificate) -> str:
    from kspsign.keys.open import engine_for  # noqa: PLC0415 - who only judges has no key store

    return engine_for(settings, certificate)


def meaning(said: str) -> Hresult:
    """Windows' code for what SignTool said; TRUST_E_FAIL when it names none that we know."""
    codes = {int(code, 16) for code in re.findall(_CODE, said)}
    by_code = next((hresult for hresult in Hresult if hresult.number in codes), None)
    by_words = next((hresult for pattern, hresult in _MEANINGS if re.search(pattern, said)), None)
    return by_code or by_words or Hresult.TRUST_E_FAIL


def _parts(verdict: SignToolVerdict) -> Iterator[Finding]:
    """The details it reported; missing parts appear in the verdict itself."""
    if verdict.hashes:
        yield Finding("signtool-hash", "; ".join(verdict.hashes))
    if verdict.chains:
        yield Finding("signtool-chain", "; ".join(verdict.chains))
    if verdict.timestamps:
        yield Finding("signtool-timestamp", "; ".join(verdict.timestamps))
