"""The verification summary (SLSA VSA): what was checked of which files, for those who trust this verifier.

Source: slsa.dev/spec/v1.0/verification_summary. It is a statement without a signature: whoever passes it on signs it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from kspsign.model.project import PROJECT
from kspsign.model.report import Report
from kspsign.publishing.sanitize import encodable

PREDICATE_TYPE: Final = "https://slsa.dev/verification_summary/v1"
_NOT_EVALUATED: Final = "SLSA_BUILD_LEVEL_UNEVALUATED"
"""That a signed statement holds says nothing of how well its builder is protected."""


def vsa_text(report: Report) -> str:
    """The summary as JSON: the in-toto statement on every file whose content is known."""
    proved = report.provenance
    predicate: dict[str, Any] = {
        "verifier": {"id": PROJECT, "version": {report.tool.name: report.tool.version}},
        "timeVerified": report.finished,
        "resourceUri": _resource(report),
        "policy": _policy(report),
        "inputAttestations": [{"uri": proved.file, "digest": {"sha256": proved.sha256}}] if proved is not None else [],
        "verificationResult": "PASSED" if report.passed else "FAILED",
        "verifiedLevels": [_NOT_EVALUATED] if report.passed else ["FAILED"],
        "slsaVersion": "1.0",
    }
    subjects = [
        {"name": encodable(file.path), "digest": {"sha256": file.sha256_after}}
        for file in report.files
        if file.sha256_after is not None
    ]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    return json.dumps(statement, indent=1).replace("#", "\\u0023") + "\n"


def _resource(report: Report) -> str:
    """Where the files are from, as far as is known."""
    if report.provenance is not None:
        return f"git+{report.provenance.repository}@{report.provenance.commit}"
    build = report.build
    return f"{build.collection}{build.project}/_build/results?buildId={build.id}" if build is not None else "file:."


def _policy(report: Report) -> dict[str, Any]:
    """The policy file; without one, the rules of the verifier itself."""
    if report.policy is None:
        return {"uri": f"{PROJECT}/blob/main/docs/reference/checks.md"}
    return {"uri": report.policy.name, "digest": {"sha256": report.policy.sha256}}
