"""`signtool timestamp`: timestamps for signatures that lack one, in SignTool's words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kspsign.batch.timestamp import timestamp_files
from kspsign.batch.work_list import take
from kspsign.cli.signtool.console import FileConsole
from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.files import find_targets
from kspsign.cli.signtool.grammar import Call, check_combinations, check_digest, check_timestamp
from kspsign.cli.signtool.run import perform, settings_of
from kspsign.cli.signtool.speech import Speech
from kspsign.model.report import FileOutcome


def timestamp(call: Call, environment: Mapping[str, str], speech: Speech) -> None:
    """Stamp the files of `call`. Raises KspSignError for what is refused before any file is looked at."""
    check_combinations(call)
    check_timestamp(call)
    url = call.value("tr")
    if url is None:
        raise SignToolError("The /tr option is required.", "Add /tr URL /td SHA256.")
    index = call.value("tp") or "0"
    if not (index.isascii() and index.isdigit()):
        raise SignToolError("Invalid index selected for timestamping.", "/tp takes a number from 0.")
    given = {"timestamp_url": (url,), "digest": check_digest("td", call.value("td") or "")}
    settings = settings_of("timestamp", given, environment, speech)
    targets = find_targets(call.files)
    console = TimestampConsole(speech, targets, "timestamp")
    if targets.artifacts:
        perform(
            settings, environment, console, partial(timestamp_files, chosen=partial(take, artifacts=targets.artifacts))
        )
    else:
        console.name_missing()
    speech.totals("files successfully timestamped")


class TimestampConsole(FileConsole):
    """A line a file."""

    def speak(self, shown: str, outcome: FileOutcome) -> None:
        """One file whose signatures all have a timestamp now, or why they have not."""
        if outcome.error is not None:
            self.fail_file(shown, outcome.error, outcome.size)
            return
        self.speech.succeed(f"Successfully timestamped: {shown}")
        if outcome.outcome == "skipped":
            self.speech.remark(f"{shown}: its signatures had their timestamps, which verify, and keep them")
