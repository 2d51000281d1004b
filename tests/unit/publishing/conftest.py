"""Reports to publish, names that attack, and the reader's side: how the agent finds commands in output."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from kspsign.model.errors import CancelledError
from kspsign.model.hresults import Hresult
from kspsign.model.report import AgentFacts, FileOutcome, Report, ToolFacts, Totals
from kspsign.model.run_facts import BuildFacts
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import Check, ErrorFacts, SignatureFacts, TimestampFacts, Verdict
from kspsign.settings.context import RunContext

HOSTILE = (
    "##vso[task.setvariable variable=PATH]x.dll",
    "a##vso[task.setvariable variable=PATH]x.dll",
    "a##VSO[task.complete result=Succeeded;]x.dll",
    "a\n##vso[task.setvariable variable=PATH]x.dll",
    "a\r##vso[task.setvariable variable=PATH]x.dll",
    "a\r\n##[error]x.dll",
    "##\u200bv\u00adso[task.setvariable variable=PATH]x.dll",
    "#\u034f#vso\ufe0f[task.setvariable variable=PATH]x.dll",
    "####vso[task.setvariable variable=PATH]x.dll",
    "##[group]x.dll",
    "]]><failure/>.dll",
    "a|b|c.dll",
    "a\\|b.dll",
    "a`b``c```.dll",
    "<script>alert(1)</script>.dll",
    "[x](https://example.org)![y](z).dll",
    "https://example.org/a.dll",
    "**bold** _it_ ~~del~~ __init__.dll",
    "&lt;&#35;.dll",
    "[red]x[/red] :boom:.dll",
    "nul\x00\x1b[31mred\x07.dll",
    "cod\u202egnp.dll",
    "line\u2028para\u2029nel\x85.dll",
    os.fsdecode(b"\xff.dll") if os.name != "nt" else "\udcff.dll",
    "pair\ud83d.dll",
    "%0A##vso[task.complete result=Succeeded;]%0D.dll",
    "%AZP25AZP25%3B%5D.dll",
    "end##",
    "\ufffe\uffff\U0001f600 ünï.dll",
    "C:\\build\\a;b=c].dll",
)

VERIFIED = Verdict("verified", (Check("digest", True, "sha256 fits"), Check("chain", True, "ends in a trusted root")))
UNTRUSTED = Verdict("failed", (Check("digest", True, "sha256 fits"), Check("chain", False, "the root is unknown")))


@dataclass(frozen=True)
class Command:
    """A logging command as the agent understood it."""

    name: str
    properties: dict[str, str]
    data: str


def unescape(value: str) -> str:
    """The agent's way back: %AZP25 last."""
    for escape, char in (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%AZP25", "%")):
        value = value.replace(escape, char)
    return value


def agent_commands(output: str) -> list[Command]:
    """Every command the agent would run: the first `##vso[` anywhere in a line, up to the first `]`.

    Like a comparison by culture, the search passes over characters without weight.
    """
    found = []
    for line in re.split(r"\r\n|\r|\n", output):
        seen = re.sub(r"[^\x20-\x7e]", "", line)
        start = seen.lower().find("##vso[")
        end = seen.find("]", start)
        if start < 0 or end < 0:
            continue
        name, _, listed = seen[start + len("##vso[") : end].partition(" ")
        pairs = (pair.partition("=") for pair in listed.split(";") if pair.strip())
        properties = {key.strip(): unescape(value) for key, _, value in pairs}
        found.append(Command(name, properties, unescape(line[line.find("]", line.lower().find("##vso[")) + 1 :])))
    return found


class Samples:
    """Makes the values that a run would hand to publishing."""

    hostile = HOSTILE

    def file(
        self, path: str = "app.exe", state: Literal["good", "untrusted", "refused", "not tried"] = "good"
    ) -> FileOutcome:
        """One file: signed and verified, signed but not trusted, refused before signing, or not come to."""
        stamp = TimestampFacts("2026-01-31T12:00:00Z", "Example TSA", "sha256")
        signature = SignatureFacts("AB" * 20, "CN=Example, O=Example", "sha256", stamp)
        good = FileOutcome(
            path, "pe", 4096, "0" * 64, "1" * 64, "signed", (signature,), VERIFIED, None, 1, {"sign": 0.25}
        )
        if state == "untrusted":
            return replace(good, verdict=UNTRUSTED, error=_facts(Hresult.CERT_E_UNTRUSTEDROOT))
        if state == "not tried":
            facts = ErrorFacts.of(CancelledError())
            return FileOutcome(path, "pe", 12, None, None, "failed", error=facts)
        if state == "refused":
            return FileOutcome(
                path, None, 12, "0" * 64, None, "failed", error=_facts(Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN)
            )
        return good

    def certificate(self, subject: str = "CN=Example, O=Example") -> CertificateFacts:
        """A certificate that is valid for the year."""
        return CertificateFacts(
            "AB" * 20,
            "c" * 64,
            subject,
            "CN=Example CA",
            "01",
            "2026-01-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
            "key-1",
        )

    def report(self, *files: FileOutcome, command: str = "run", test_signing: bool = False) -> Report:
        """The report of a run over `files`; it passed when every file is verified."""
        verified = sum(file.verdict.ok for file in files)
        failed = sum(file.outcome == "failed" for file in files)
        passed = verified == len(files)
        return Report(
            tool=ToolFacts("kspsign", "0.1.0"),
            started="2026-01-31T11:59:00Z",
            finished="2026-01-31T12:00:01Z",
            agent=AgentFacts("Linux", "x86_64", "3.11.2"),
            build=None,
            command=command,
            engine="native",
            key_store="embedded" if test_signing else "pkcs12",
            test_signing=test_signing,
            passed=passed,
            exit_code=0 if passed else 2,
            certificate=self.certificate(),
            totals=Totals(
                matched=len(files),
                signed=len(files) - failed,
                skipped=0,
                failed=failed,
                verified=verified,
                unverified=len(files) - verified,
                signatures_used=len(files) - failed,
                left=sum(not file.tried for file in files),
            ),
            files=files,
        )

    def step(self, temp_folder: Path) -> RunContext:
        """The context of a pipeline step."""
        build = BuildFacts("4711", "20260131.2", "release", "Apps", "https://example/", "app", "0123abcd", "Sign", 2)
        return RunContext("azure-pipelines", build, "12f1170f-54f2", temp_folder, debug=False)

    def commands(self, output: str) -> list[Command]:
        """The commands that the agent finds in a step's output."""
        return agent_commands(output)


def _facts(hresult: Hresult) -> ErrorFacts:
    return ErrorFacts(hresult.name, hresult.hex, hresult.meaning, hresult.remedy)


@pytest.fixture
def samples() -> Samples:
    """Reports, hostile names and the agent's view."""
    return Samples()


@pytest.fixture(params=HOSTILE, ids=ascii)
def hostile(request: pytest.FixtureRequest) -> str:
    """Each name that attacks, one after the other."""
    return str(request.param)
