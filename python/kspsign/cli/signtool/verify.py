"""`signtool verify`: strict verification, in SignTool's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from cryptography import x509

from kspsign.batch.verify import verify_files
from kspsign.batch.work_list import take
from kspsign.certificates.parse import common_name, extension, thumbprint_of, to_der
from kspsign.cli.signtool import words
from kspsign.cli.signtool.console import FileConsole
from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.files import NamedFiles, find_targets, native_path
from kspsign.cli.signtool.grammar import Call, check_combinations
from kspsign.cli.signtool.run import perform, settings_of
from kspsign.cli.signtool.signature_words import signature_lines, table_lines
from kspsign.cli.signtool.speech import Speech
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome
from kspsign.model.values import ErrorFacts
from kspsign.publishing.sanitize import visible
from kspsign.verifying.signatures import ExaminedSignature

_GENERIC: Final = "00AAC56B-CD44-11D0-8CC2-00C04FC295EE"
_DRIVER: Final = "F750E6C3-38EE-11D1-85E5-00C04FC295EE"
_GUID = re.compile(r"\{?([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})\}?", re.IGNORECASE)
_THUMBPRINT = re.compile("[0-9A-Fa-f]{40}")
_CODE_SIGNING = {"code signing": "1.3.6.1.5.5.7.3.3"}


def verify(call: Call, environment: Mapping[str, str], speech: Speech) -> None:
    """Verify the files of `call`. Raises KspSignError for what is refused before any file is looked at."""
    check_combinations(call)
    for option in ("sha1", "ca"):
        for given in call.values(option):
            if not _THUMBPRINT.fullmatch(given):
                raise SignToolError(f"Invalid SHA1 hash format: {visible(given)}", f"/{option} takes 40 hex digits.")
    index = call.value("ds")
    if index is not None and not (index.isascii() and index.isdigit()):
        raise SignToolError("Invalid index specified.", "/ds takes a number from 0.")
    if index is not None and call.has("all"):
        raise SignToolError("The /all option is incompatible with the /ds option.", "Leave one of them out.")
    settings = settings_of("verify", {"no_timestamp": True, **_catalogue(call)}, environment, speech)
    targets = find_targets(call.files)
    console = VerifyConsole(speech, targets, call, drivers=_is_for_drivers(call))
    if targets.artifacts:
        chosen = partial(take, artifacts=targets.artifacts)
        stages = partial(verify_files, chosen=chosen, observer=console.observe)
        perform(settings, environment, console, stages)
    else:
        console.name_missing()
    speech.totals(f"{'signatures' if call.has('all') else 'files'} successfully Verified")


def _catalogue(call: Call) -> dict[str, Any]:
    """The setting for the catalogue that /c names."""
    named, algorithm = call.value("c"), call.value("hash")
    if algorithm is not None:
        if named is None:
            raise SignToolError("The /hash option requires the /c option.", "Add it.")
        if algorithm.upper() not in {"SHA1", "SHA256"}:
            raise SignToolError(f"Invalid hash algorithm: {visible(algorithm)}", "/hash takes SHA1 or SHA256.")
    return {} if named is None else {"catalog": [str(native_path(named))]}


def _is_for_drivers(call: Call) -> bool:
    """Whether the policy of Windows drivers is asked for, as it is without /pa."""
    given = call.value("pg")
    if given is None:
        return not call.has("pa")
    if call.has("pa"):
        raise SignToolError("The /pg option is incompatible with the /pa option.", "Leave one of them out.")
    found = _GUID.fullmatch(given)
    if found is None:
        raise SignToolError(
            f"Invalid GUID format: {visible(given)}\nExpected GUID format: {{{_DRIVER}}}", f"/pg {{{_GENERIC}}} is /pa."
        )
    if found[1].upper() not in {_GENERIC, _DRIVER}:
        raise SignToolError(
            "This version of signtool does not support the /pg functionality.",
            "Use /pa.",
            cause=f"kspsign knows the policy {{{_GENERIC}}} alone, which is /pa",
        )
    return found[1].upper() == _DRIVER


class VerifyConsole(FileConsole):
    """The signatures of each file as far as they are asked for, and the verdict on it.

    The verdict is strict: on all signatures of the file, whichever are shown.
    """

    def __init__(self, speech: Speech, targets: NamedFiles, call: Call, *, drivers: bool) -> None:
        super().__init__(speech, targets, "verify")
        self._call, self._drivers = call, drivers
        self._catalogue = call.value("c")
        self._examined: dict[str, Sequence[ExaminedSignature]] = {}
        self._tables = 0

    def observe(self, name: str, examined: Sequence[ExaminedSignature]) -> None:
        """Remember the signatures of a file, or of the catalogue, until a line is due; called from any thread."""
        self._examined[name if self._catalogue is None else self._catalogue] = examined

    def speak(self, shown: str, outcome: FileOutcome) -> None:
        """One file."""
        examined = self._signatures(outcome)
        chosen = self._chosen(len(examined))
        if self.speech.verbose:
            self.speech.say("", f"Verifying: {shown}")
            if self._catalogue is not None and examined:
                self.speech.say(f"File is signed in catalog: {visible(self._catalogue)}")
            for index in chosen:
                self.speech.say(*signature_lines(index, examined[index], described=self._call.has("d")))
        else:
            self.speech.say(*table_lines(shown, [(index, examined[index]) for index in chosen], later=self._tables > 0))
            self._tables += 1
        self._judge(shown, outcome, [examined[index] for index in chosen])

    def _signatures(self, outcome: FileOutcome) -> Sequence[ExaminedSignature]:
        """Those of the file; by a catalogue those of the catalogue, of a file that it does not list none."""
        if self._catalogue is None:
            return self._examined.pop(outcome.path, ())
        return self._examined[self._catalogue] if outcome.signatures else ()

    def _chosen(self, count: int) -> range:
        """The indices of the signatures that are asked for, of so many."""
        if self._call.has("all"):
            return range(count)
        first = int(self._call.value("ds") or 0)
        return range(first, min(first + 1, count))

    def _judge(self, shown: str, outcome: FileOutcome, chosen: Sequence[ExaminedSignature]) -> None:
        unstamped = any(signature.stamp is None for signature in chosen)
        if outcome.error is not None:
            self.speech.fail(words.verdict_sentence(outcome.error), error=outcome.error)
        elif not chosen:
            self.speech.fail("Invalid index specified.")
        elif (broken := next(self._broken_requirements(chosen), None)) is not None:
            self.speech.fail(broken[0], error=broken[1])
        else:
            self._succeed(shown, outcome, len(chosen) if self._call.has("all") else 1)
            if self._call.has("tw") and unstamped:
                self.speech.warn(f"File is not timestamped: {shown}")
            if any(not _has_usages(signature, self._call.values("u")) for signature in chosen):
                self.speech.warn("The signer does not possess the specified EKUs.")

    def _succeed(self, shown: str, outcome: FileOutcome, count: int) -> None:
        self.speech.succeed(f"Successfully verified: {shown}", "", count=count)
        if self._call.has("ph") and not any(check.name.startswith("page-hashes") for check in outcome.verdict.checks):
            self.speech.warn("No page hashes are present.")

    def _broken_requirements(self, chosen: Sequence[ExaminedSignature]) -> Iterator[tuple[str, ErrorFacts]]:
        """What the options ask of the signatures that are shown, and they do not meet."""
        if self._drivers:
            yield (
                words.verdict_sentence(_facts(Hresult.CERT_E_UNTRUSTEDROOT, "", "")),
                _facts(
                    Hresult.CERT_E_UNTRUSTEDROOT,
                    "without /pa SignTool judges by the policy of Windows drivers, whose roots are Microsoft's alone",
                    "Add /pa: the policy of ordinary programs. The signature itself verifies.",
                ),
            )
        for signature in chosen:
            path = signature.path
            if not _meets(self._call.values("sha1"), path[:1]):
                yield "The signing certificate does not have a specified SHA1 hash.", _named_other(path[:1])
            if not _meets(self._call.values("ca"), path[1:-1]):
                yield "No intermediate CA with a specified thumbprint was found.", _named_other(path[1:-1])
            wanted = self._call.value("r")
            if wanted is not None and wanted.casefold() not in common_name(path[-1].subject).casefold():
                yield "Signing Cert does not chain to the specified Root Cert.", _named_other(path[-1:])


def _meets(wanted: Sequence[str], certificates: Sequence[x509.Certificate]) -> bool:
    """Whether one of the thumbprints is that of one of the certificates; none that is wanted is met."""
    known = {thumbprint_of(to_der(certificate)) for certificate in certificates}
    return not wanted or any(thumbprint.upper() in known for thumbprint in wanted)


def _has_usages(signature: ExaminedSignature, wanted: Sequence[str]) -> bool:
    if not wanted:
        return True
    found = extension(signature.path[0], x509.ExtendedKeyUsage)
    held = set() if found is None else {usage.dotted_string for usage in found.value}
    return all(_CODE_SIGNING.get(usage.lower(), usage) in held for usage in wanted)


def _named_other(certificates: Sequence[x509.Certificate]) -> ErrorFacts:
    shown = (words.CertificateWords.of(certificate) for certificate in certificates)
    names = "; ".join(f"{found.subject} ({found.thumbprint})" for found in shown)
    return ErrorFacts("SIGNTOOL_REQUIREMENT", None, f"there is {names or 'none'}", "")


def _facts(hresult: Hresult, message: str, remedy: str) -> ErrorFacts:
    return ErrorFacts(hresult.name, hresult.hex, message, remedy)
