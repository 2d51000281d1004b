"""The gate's task.json: what Azure DevOps asks of it, and its decisions over replies of the REST API."""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from support.gate.chain import REFERENCE, Reply, run_chain
from support.gate.expressions import ExpressionError, evaluate
from support.gate.shapes import (
    BUILD,
    COLLECTION,
    JOB,
    PROJECT,
    SCRIPT_RECORD,
    SCRIPT_TASK,
    SIGN_IN_PAGE,
    SIGN_RECORD,
    SIGN_TASK,
    Server,
    attachment,
    record,
    verdict,
)
from support.places import ROOT

FOLDER = ROOT / "task" / "KspSignatureGate"
GATE: dict[str, Any] = json.loads((FOLDER / "task.json").read_text(encoding="utf-8"))
SIGN: dict[str, Any] = json.loads((ROOT / "task" / "KspSign" / "task.json").read_text(encoding="utf-8"))
LINKS: list[dict[str, Any]] = GATE["execution"]["HttpRequestChain"]["Execute"]
VARIABLES = {
    "Build.BuildId": BUILD,
    "System.AccessToken": "job-token",
    "System.TeamFoundationCollectionUri": COLLECTION,
    "System.TeamProjectId": PROJECT,
}
"""Variables that exist both in a classic release and in an agentless job."""

LIST, VERDICT, TIMELINE = range(3)


def refused_by(server: Server, **inputs: str) -> int | None:
    """The link that says no; None when the gate lets the build through."""
    return run_chain(GATE, inputs, VARIABLES, server.ask).refused_by


def test_a_proved_build_passes_and_every_request_carries_the_job_token() -> None:
    sample = run_chain(GATE, {}, VARIABLES, Server().ask)
    assert sample.refused_by is None, sample.reason
    assert len(sample.asked) == 3
    assert {asked.headers["Authorization"] for asked in sample.asked} == {"Bearer job-token"}
    assert all(asked.url.startswith(COLLECTION) and "$(" not in asked.url for asked in sample.asked)


BAD_LISTS: dict[str, Callable[[Server], None]] = {
    "no attachment": lambda server: server.attachments.clear(),
    "two attachments": lambda server: server.attachments.append(attachment(SIGN_RECORD, f"verdict-{JOB}-2.json")),
    "a forged one beside ours": lambda server: server.attachments.append(attachment(SCRIPT_RECORD, "verdict-x.json")),
    "a name that is our step's record id": lambda server: server.attachments.__setitem__(
        0, attachment(SCRIPT_RECORD, SIGN_RECORD)
    ),
}
BAD_RECORDS: dict[str, list[dict[str, Any]]] = {
    "our step failed": [record(SIGN_RECORD, SIGN_TASK, "failed")],
    "continueOnError": [record(SIGN_RECORD, SIGN_TASK, "succeededWithIssues")],
    "our step was cancelled": [record(SIGN_RECORD, SIGN_TASK, "canceled")],
    "our step still runs": [record(SIGN_RECORD, SIGN_TASK, None)],
    "another of our steps failed": [record(SIGN_RECORD, SIGN_TASK, "succeeded"), record("0", SIGN_TASK, "failed")],
    "another of our steps is not done": [record(SIGN_RECORD, SIGN_TASK, "succeeded"), record("0", SIGN_TASK, None)],
    "the step is another task's": [record(SIGN_RECORD, SCRIPT_TASK, "succeeded")],
    "the record has no task": [record(SIGN_RECORD, None, "succeeded")],
    "a newer attempt replaced the record": [record("1", SIGN_TASK, "succeeded", attempt=2)],
    "the task's id in capitals": [record(SIGN_RECORD, SIGN_TASK.upper(), "succeeded")],
    "no records": [],
}
BAD_VERDICTS: dict[str, dict[str, Any]] = {
    "failed": {"result": "failed", "verified": 2, "failed": 1},
    "cancelled": {"result": "cancelled"},
    "zero artifacts": {"total": 0, "verified": 0},
    "an unsigned file": {"unsigned": 1},
    "fewer verified than matched": {"verified": 2},
    "test signing": {"testSigning": True},
    "test signing not stated": {"testSigning": None},
    "another build": {"buildId": "4712"},
    "no build": {"buildId": None},
    "another schema": {"schema": "kspsign.verdict/2"},
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_the_list_of_verdicts_refuses(case: str) -> None:
    server = Server()
    BAD_LISTS[case](server)
    assert refused_by(server) == LIST


@pytest.mark.parametrize("case", BAD_VERDICTS)
def test_the_verdict_refuses(case: str) -> None:
    assert refused_by(Server(verdict=verdict(**BAD_VERDICTS[case]))) == VERDICT


@pytest.mark.parametrize("missing", sorted(verdict().keys() - {"jobId", "attempt", "reportSha256"}))
def test_a_verdict_without_one_of_its_keys_refuses(missing: str) -> None:
    document = verdict()
    del document[missing]
    assert refused_by(Server(verdict=document)) == VERDICT


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_the_timeline_refuses(case: str) -> None:
    assert refused_by(Server(records=BAD_RECORDS[case])) == TIMELINE


def test_a_forged_verdict_of_another_step_refuses_though_our_step_succeeded() -> None:
    assert refused_by(Server(attachments=[attachment(SCRIPT_RECORD, "verdict-forged.json")])) == TIMELINE


NAMES = [
    "verdict-'), 1), eq(1, 1)), or(true, in('a'.json",
    "verdict-$(system.accesstoken).json",
    f"verdict-{SIGN_RECORD}/{SIGN_RECORD}",
    "verdict-'.json",
    f"verdict-/../../../{SIGN_RECORD}/attachments",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_attachment_is_in_no_expression(name: str) -> None:
    """Whatever a step calls its attachment: it says nothing about which step that was."""
    forged = Server(attachments=[attachment(SCRIPT_RECORD, name)])
    assert refused_by(forged) in {LIST, TIMELINE}
    honest = Server(attachments=[attachment(SIGN_RECORD, name)])
    sample = run_chain(GATE, {}, VARIABLES, honest.ask)
    assert sample.refused_by is None, sample.reason
    for link in LINKS:
        assert "verdictUrl" not in link["RequestInputs"]["Expression"]


@pytest.mark.parametrize(
    ("collection", "passes"),
    [
        ("https://contoso.visualstudio.com/", True),
        ("https://dev.azure.com/contoso/", True),
        ("https://server.example.com/tfs/DefaultCollection/", True),
        ("https://server.example.com/a/b/c/d/", False),
    ],
)
def test_the_record_is_found_in_the_addresses_of_every_kind_of_collection(collection: str, passes: bool) -> None:
    entry = attachment()
    entry["_links"]["self"]["href"] = entry["_links"]["self"]["href"].replace(COLLECTION, collection)
    reply = Server(attachments=[entry])
    assert (refused_by(reply) is None) is passes
    forged = attachment(SCRIPT_RECORD)
    forged["_links"]["self"]["href"] = forged["_links"]["self"]["href"].replace(COLLECTION, collection)
    assert refused_by(Server(attachments=[forged])) is not None


@pytest.mark.parametrize("link", [LIST, VERDICT, TIMELINE])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(HTTPStatus.OK, SIGN_IN_PAGE),
        Reply(HTTPStatus.NON_AUTHORITATIVE_INFORMATION, SIGN_IN_PAGE),
        Reply(HTTPStatus.OK, "[]"),
        Reply(HTTPStatus.OK, "{}"),
        Reply(HTTPStatus.OK, "null"),
        Reply(HTTPStatus.OK, ""),
        Reply(HTTPStatus.FOUND, ""),
        Reply(HTTPStatus.UNAUTHORIZED, ""),
        Reply(HTTPStatus.NOT_FOUND, "{}"),
        Reply(HTTPStatus.TOO_MANY_REQUESTS, ""),
        Reply(HTTPStatus.SERVICE_UNAVAILABLE, ""),
    ],
    ids=lambda reply: f"{reply.status.value}-{reply.body[:9]}",
)
def test_any_other_reply_refuses(link: int, reply: Reply) -> None:
    part = ("attachments/kspsign.verdict?", "attachments/kspsign.verdict/", "/timeline?")[link]
    assert refused_by(Server(replies={part: reply})) == link


def test_a_policy_digest_is_asked_for_only_when_given() -> None:
    with_policy = Server(verdict=verdict(policyDigest="sha256:abc"))
    assert refused_by(with_policy) is None
    assert refused_by(with_policy, policyDigest="sha256:abc") is None
    assert refused_by(with_policy, policyDigest="sha256:def") == VERDICT
    assert refused_by(Server(), policyDigest="sha256:abc") == VERDICT


def test_test_signing_passes_only_when_it_is_allowed() -> None:
    signed_for_a_trial = Server(verdict=verdict(testSigning=True))
    assert refused_by(signed_for_a_trial, allowTestSigning="true") is None
    for other in ("false", "", "yes", "1"):
        assert refused_by(signed_for_a_trial, allowTestSigning=other) == VERDICT


@pytest.mark.parametrize("value", ["4711'", "$(Other)", "", "4711, 1"])
def test_inputs_that_make_no_sense_refuse(value: str) -> None:
    assert refused_by(Server(), buildId=value) == LIST


def test_names_and_limits() -> None:
    assert uuid.UUID(GATE["id"]).version == 4
    assert GATE["id"] != SIGN["id"]
    assert GATE["name"] == FOLDER.name
    assert len(GATE["friendlyName"]) <= 40
    assert GATE["runsOn"] == ["Server", "ServerGate"]
    assert not {"minimumAgentVersion", "demands", "outputVariables", "restrictions"} & set(GATE)
    assert (FOLDER / "icon.png").read_bytes() == (ROOT / "task" / "KspSign" / "icon.png").read_bytes()
    assert all(declared["helpMarkDown"].endswith(".") and declared["label"] for declared in GATE["inputs"])


def test_the_version_is_the_project_s() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert ".".join(str(GATE["version"][part]) for part in ("Major", "Minor", "Patch")) == version


def test_the_extension_contributes_the_gate() -> None:
    manifest = json.loads((ROOT / "vss-extension.json").read_text(encoding="utf-8"))
    (contribution,) = [
        contribution
        for contribution in manifest["contributions"]
        if contribution["properties"]["name"] == "task/" + FOLDER.name
    ]
    assert contribution["targets"] == ["ms.vss-distributed-task.tasks"]


def test_every_reference_is_an_input_an_output_of_an_earlier_link_or_a_known_variable() -> None:
    inputs = {declared["name"] for declared in GATE["inputs"]}
    known = {name.lower() for name in inputs | set(VARIABLES)}
    defaults = REFERENCE.findall(" ".join(declared.get("defaultValue", "") for declared in GATE["inputs"]))
    assert {name.lower() for name in defaults} <= known
    used: set[str] = set()
    for link in LINKS:
        references = {name.lower() for value in link["RequestInputs"].values() for name in REFERENCE.findall(value)}
        assert references <= known
        used |= references
        known |= {name.lower() for name in link.get("ExecutionOptions", {}).get("OutputVariables", {})}
    assert {name.lower() for name in inputs} <= used
    assert set(REFERENCE.findall(GATE["instanceNameFormat"])) <= inputs


def test_the_timeline_is_asked_for_our_task_in_lower_case() -> None:
    expression = LINKS[TIMELINE]["RequestInputs"]["Expression"]
    asked = re.findall(r"@\.task\.id==''([^']+)''", expression)
    assert asked == [SIGN["id"]] * 2
    assert SIGN["id"] == SIGN["id"].lower() == SIGN_TASK


def test_every_link_can_say_no() -> None:
    assert [set(link) - {"ExecutionOptions"} for link in LINKS] == [{"RequestInputs"}] * 3
    for link in LINKS:
        assert link["RequestInputs"]["Expression"].startswith("and(eq(response['statuscode'], 'OK'), ")
        assert link["RequestInputs"]["Method"] == "GET"
        assert "SkipSectionExpression" not in link.get("ExecutionOptions", {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("eq('A', 'a')", True),
        ("eq(root['n'], '3')", True),
        ("eq(root['n'], 'x')", False),
        ("eq(root['t'], false)", False),
        ("ne(root['s'], 'it''s')", False),
        ("xor(gt(2, 1), ge(1, 2))", True),
        ("and(le(1, 1), lt(1, 2), not(false))", True),
        ("in('b', 'a', 'B')", True),
        ("containsValue(root['l'], 'Y')", True),
        ("coalesce('', root['missing'], 'z')", "z"),
        ("count(jsonpath('$.l[*]'))", 2.0),
        ("jsonpath('l[1]')[0]", "y"),
        ("isNullOrEmpty(root['missing'])", True),
        ("length(lower('ABC'))", 3.0),
    ],
)
def test_the_evaluator_keeps_to_the_documented_language(expression: str, value: Any) -> None:
    root = {"n": 3, "t": True, "s": "it's", "l": ["x", "y"]}
    assert evaluate(expression, {"root": root}) == value


@pytest.mark.parametrize("broken", ["eq(1", "nothing(1)", "eq(1, 2) 3", "root['l'][9]", "count(root['n'])", "#", ""])
def test_the_evaluator_refuses_what_it_does_not_know(broken: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(broken, {"root": {"l": [], "n": 3}})
