"""`signtool remove`: takes signatures out of files, in SignTool's words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kspsign.batch.remove import Removal, remove_files
from kspsign.batch.work_list import take
from kspsign.cli.signtool import words
from kspsign.cli.signtool.console import FileConsole
from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.files import NamedFiles, find_targets
from kspsign.cli.signtool.grammar import Call, check_combinations
from kspsign.cli.signtool.run import perform, settings_of
from kspsign.cli.signtool.speech import Speech
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome
from kspsign.model.values import ErrorFacts


def remove(call: Call, environment: Mapping[str, str], speech: Speech) -> None:
    """Take signatures out of the files of `call`. Raises KspSignError for what is refused before any is looked at."""
    check_combinations(call)
    if not any(call.has(name) for name in ("s", "c", "u")):
        raise SignToolError(
            "Missing required parameter(s), expecting /s or /c and/or /u.", "/s removes the signatures themselves."
        )
    if call.has("s") and (call.has("c") or call.has("u")):
        raise SignToolError("The /s option cannot be used with any of the following\n\toptions: /c /u", "Leave /s out.")
    removal = Removal(signatures=call.has("s"), certificates=call.has("c"), unsigned_attributes=call.has("u"))
    settings = settings_of("remove", {}, environment, speech)
    targets = find_targets(call.files)
    console = RemoveConsole(speech, targets, removal)
    if targets.artifacts:
        chosen = partial(take, artifacts=targets.artifacts)
        perform(settings, environment, console, partial(remove_files, chosen=chosen, removal=removal))
    else:
        console.name_missing()
    speech.totals("files successfully processed")


class RemoveConsole(FileConsole):
    """What is taken out of each file, and that it was."""

    def __init__(self, speech: Speech, targets: NamedFiles, removal: Removal) -> None:
        super().__init__(speech, targets, "remove")
        self._removal = removal

    def speak(self, shown: str, outcome: FileOutcome) -> None:
        """One file without its signature, or why it kept it."""
        if self._removal.signatures:
            self.speech.detail(f"Removing signature on file: {shown}")
        if self._removal.unsigned_attributes:
            self.speech.detail(f"Removing unauthenticated attributes from the signature on file: {shown}")
        if self._removal.certificates:
            self.speech.detail(f"Removing CA certificates from the signature on file: {shown}")
        if outcome.error is None:
            self.speech.succeed(f"Successfully committed changes to the file: {shown}")
        else:
            self.fail_file(shown, outcome.error, outcome.size)

    def fail_file(self, shown: str, error: ErrorFacts, size: int) -> None:
        """SignTool has one error for a file that it does not know, and Windows' own for an unsigned one."""
        hresult = words.hresult_of(error)
        if hresult is Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN or not size:
            self.speech.fail(f"Unsupported file type: {shown}", error=error)
        elif hresult is Hresult.TRUST_E_NOSIGNATURE:
            self.speech.fail(
                "CryptSIPRemoveSignedDataMsg returned error: 0x00000057\n\tThe parameter is incorrect.", error=error
            )
        else:
            self.speech.fail(words.file_sentence("remove", error, size=size), error=error)
