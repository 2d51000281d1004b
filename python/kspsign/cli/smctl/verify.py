"""`smctl sign verify`: strict verification of what --input names, in smctl's form."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TextIO

from kspsign.cli.commands import perform
from kspsign.cli.smctl.console import SmctlConsole
from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.session import settings_for
from kspsign.cli.smctl.sign import input_pattern
from kspsign.cli.smctl.verbs import EXIT_FAILED
from kspsign.model.errors import CancelledError, ConfigurationError
from kspsign.model.report import FileOutcome
from kspsign.model.values import ErrorFacts
from kspsign.publishing import prepared
from kspsign.publishing.sanitize import log_line
from kspsign.settings.context import RunContext

_THUMBPRINT = re.compile("[0-9A-F]{40}")


def verify(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Verify every file that --input names; 0 when all verify and --fingerprint signed them, else 1.

    As SignTool does, which smctl starts, it accepts a signature without timestamp. Raises ConfigurationError for what
    the flags leave open, and what the settings raise.
    """
    values = {
        "files": [input_pattern(given)],
        "no_timestamp": True,
        "quiet": given.is_on("quiet") or None,
        "verbose": given.is_on("verbose") or None,
    }
    signer = _thumbprint(given)
    settings = settings_for("verify", environment, values)
    context = RunContext.from_environment(environment, is_tty=False)
    console = VerificationConsole(
        prepared(out, context), prepared(sys.stderr, context), quiet=settings.quiet, verbose=settings.verbose
    )
    console.signer = signer
    report = perform(settings, context, lambda: console)
    if report.exit_code == CancelledError.exit_code:
        return CancelledError.exit_code
    return EXIT_FAILED if report.exit_code or console.strangers else 0


class VerificationConsole(SmctlConsole):
    """A line for each file; one that verifies but was not signed by `signer` counts as a failure."""

    signer: str | None = None
    strangers = 0
    ended = "Verification"

    def file_done(self, outcome: FileOutcome, done: int, total: int) -> None:
        """The verdict on one file."""
        if not outcome.tried:
            return
        name = log_line(outcome.path)
        verified = self.shows_checks(outcome, done, total)
        others = [signature.thumbprint for signature in outcome.signatures]
        if verified and self.signer is not None and self.signer not in others:
            self.strangers += 1
            verified = False
            cause = f"{outcome.path} is signed by {', '.join(others)}, not by {self.signer}"
            self.failed(ErrorFacts("OTHER_SIGNER", None, cause, "Sign it with the certificate of --fingerprint."))
        if verified:
            self.say(f"verifyCommand command for file {name} was SUCCESSFUL")
        else:
            self.complain(f"verifyCommand command for file {name} FAILED")


def _thumbprint(given: ParsedFlags) -> str | None:
    wanted = given.text("fingerprint")
    if wanted is not None and not _THUMBPRINT.fullmatch(wanted.upper()):
        raise ConfigurationError("--fingerprint is not a thumbprint", remedy="It has 40 hex digits.")
    return None if wanted is None else wanted.upper()
