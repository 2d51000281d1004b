"""What each resource answers. Bodies are taken strictly: an unknown key or a wrong type is a mistake of the client."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any

from support.azure_devops.locations import Location
from support.azure_devops.state import PROJECT, Build, Organisation, TestRun

RUN_STATES = {"InProgress", "Completed", "Aborted"}
OUTCOMES = {"Passed", "Failed", "Error", "NotExecuted"}


class RefusedError(Exception):
    """An answer other than 200, with the text that the server wraps into its exception."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Call:
    """One request to a known resource."""

    method: str
    location: Location
    values: dict[str, str]
    query: dict[str, str]
    body: Any
    url: str
    """The collection, as the client called it."""


def answer(organisation: Organisation, call: Call) -> Any:
    """The JSON value to answer with, or bytes. Raises RefusedError."""
    if call.values.get("project", PROJECT) != PROJECT:
        raise RefusedError(404, f"TF200016: The following project does not exist: {call.values['project']}.")
    handlers = {
        ("GET", "ResourceAreas"): _areas,
        ("GET", "builds"): _build,
        ("GET", "timeline"): _timeline,
        ("PUT", "tags"): _tag,
        ("PATCH", "properties"): _properties,
        ("GET", "attachments"): _attachments,
        ("POST", "Runs"): _create_run,
        ("PATCH", "Runs"): _update_run,
        ("POST", "Results"): _results,
        ("POST", "Attachments"): _upload,
        ("POST", "oidctoken"): _oidc_token,
        ("GET", "securefiles"): _secure_file,
    }
    handler = handlers.get((call.method, call.location.name))
    if handler is None:
        raise RefusedError(405, f"{call.location.name} takes no {call.method}")
    return handler(organisation, call)


def _areas(_organisation: Organisation, _call: Call) -> Any:
    return {"count": 0, "value": []}  # like a server of one's own: everything is below the collection


def _found(organisation: Organisation, call: Call) -> Build:
    build = organisation.builds.get(int(call.values["buildId"]))
    if build is None:
        raise RefusedError(404, f"The requested build {call.values['buildId']} could not be found.")
    return build


def _build(organisation: Organisation, call: Call) -> Any:
    if "buildId" not in call.values:
        return _builds(organisation, call)
    return _described(_found(organisation, call))


def _described(build: Build) -> dict[str, Any]:
    times = {"queueTime": build.queued} | ({"finishTime": build.finished} if build.finished else {})
    return {"id": build.id, "status": build.status, **times} | ({"result": build.result} if build.result else {})


_ORDERS = {
    "finishTimeAscending": (True, False),
    "finishTimeDescending": (True, True),
    "queueTimeAscending": (False, False),
}
"""What each is by: the end of a build or its start; and whether the latest comes first."""


def _builds(organisation: Organisation, call: Call) -> Any:
    """Builds of the definitions and with the tags, from the time on that the order is about; one without that time is
    in no such list."""
    known = {"definitions", "minTime", "statusFilter", "$top", "queryOrder", "api-version", "tagFilters", "properties"}
    if set(call.query) - known:
        raise RefusedError(400, f"unknown parameters: {sorted(set(call.query) - known)}")
    definitions = {int(number) for number in _words(call, "definitions")}
    statuses, tags = _words(call, "statusFilter"), _words(call, "tagFilters")
    by_end, latest_first = _ORDERS[call.query["queryOrder"]]
    since = call.query.get("minTime", "")
    found = []
    for build in organisation.builds.values():
        time = build.finished if by_end else build.queued
        wanted = build.status in statuses and tags <= set(build.tags)
        if wanted and time is not None and time >= since[:19] and (not definitions or build.definition in definitions):
            found.append((time, build.id, build))
    ordered = sorted(found, reverse=latest_first)[: int(call.query["$top"])]
    listed = [_listed(build, _words(call, "properties")) for _time, _id, build in ordered]
    return {"count": len(listed), "value": listed}


def _words(call: Call, parameter: str) -> set[str]:
    return set(filter(None, call.query.get(parameter, "").split(",")))


def _listed(build: Build, wanted: set[str]) -> dict[str, Any]:
    properties = {name: text for name, text in build.properties.items() if name in wanted}
    return {
        **_described(build),
        "buildNumber": f"2026.{build.id}",
        "definition": {"id": build.definition, "name": build.pipeline},
        "tags": build.tags,
        "properties": {name: {"$type": "System.String", "$value": text} for name, text in properties.items()},
    }


def _timeline(organisation: Organisation, call: Call) -> Any:
    build = _found(organisation, call)
    asked = call.values.get("timelineId", build.timeline_id)
    records = build.records if asked == build.timeline_id else build.former.get(asked)
    if records is None:
        raise RefusedError(404, f"The requested timeline {asked} could not be found.")
    return {"id": asked, "changeId": 7, "records": records}


def _tag(organisation: Organisation, call: Call) -> Any:
    tags = _found(organisation, call).tags
    tags.append(call.values["tag"])
    return {"count": len(tags), "value": tags}


def _properties(organisation: Organisation, call: Call) -> Any:
    properties = _found(organisation, call).properties
    for operation in _list(call.body):
        _only(operation, {"op", "path", "value"})
        if operation.get("op") != "add" or not operation["path"].startswith("/"):
            raise RefusedError(400, "VssPropertyValidationException: add /name value")
        properties[operation["path"][1:]] = operation["value"]
    value = {name: {"$type": "System.String", "$value": text} for name, text in properties.items()}
    return {"count": len(value), "value": value}


def _attachments(organisation: Organisation, call: Call) -> Any:
    build = _found(organisation, call)
    if "name" in call.values:
        place = [call.values[key].lower() for key in ("timelineId", "recordId", "type", "name")]
        for attachment in build.attachments:
            if [
                attachment.timeline_id,
                attachment.record_id,
                attachment.kind.lower(),
                attachment.name.lower(),
            ] == place:
                return attachment.content
        raise RefusedError(404, "The attachment could not be found.")
    base = f"{call.url}/{PROJECT}/_apis/build/builds/{build.id}"
    found = [attachment for attachment in build.attachments if attachment.kind == call.values["type"]]
    places = [
        f"{base}/{attachment.timeline_id}/{attachment.record_id}/attachments/{attachment.kind}/{attachment.name}"
        for attachment in found
    ]
    value = [
        {"name": attachment.name, "_links": {"self": {"href": place}}}
        for attachment, place in zip(found, places, strict=True)
    ]
    return {"count": len(value), "value": value}


def _create_run(organisation: Organisation, call: Call) -> Any:
    _only(call.body, {"name", "automated", "state", "build", "startDate", "releaseUri", "releaseEnvironmentUri"})
    if call.body.get("automated") is not True or int(call.body["build"]["id"]) not in organisation.builds:
        raise RefusedError(400, "an automated run belongs to a build")
    number = 100 + len(organisation.runs)
    organisation.runs[number] = TestRun(number, call.body, _state(call.body))
    return {"id": number, "name": call.body["name"], "state": call.body["state"]}


def _update_run(organisation: Organisation, call: Call) -> Any:
    _only(call.body, {"state"})
    run = _run(organisation, call)
    run.state = _state(call.body)
    return {"id": run.id, "state": run.state}


def _results(organisation: Organisation, call: Call) -> Any:
    run = _run(organisation, call)
    if run.state != "InProgress" or len(_list(call.body)) > 1000:
        raise RefusedError(400, "results go to a run in progress, at most 1000 at once")
    made = []
    for entry in call.body:
        _only(
            entry,
            {"testCaseTitle", "automatedTestName", "automatedTestStorage", "automatedTestType", "outcome", "state"}
            | {"durationInMs", "errorMessage", "stackTrace"},
        )
        if entry["outcome"] not in OUTCOMES or entry["state"] != "Completed" or not entry["testCaseTitle"]:
            raise RefusedError(400, "a result has a title, an outcome and is completed")
        run.results.append({**entry, "id": 100000 + len(run.results)})
        made.append({"id": run.results[-1]["id"]})
    return {"count": len(made), "value": made}


def _upload(organisation: Organisation, call: Call) -> Any:
    run = _run(organisation, call)
    _only(call.body, {"stream", "fileName", "comment", "attachmentType"})
    if call.body["attachmentType"] != "GeneralAttachment":
        raise RefusedError(400, "unknown type of attachment")
    given = call.values.get("testCaseResultId")
    owner = None if given is None else int(given)
    if owner is not None and owner not in {case["id"] for case in run.results}:
        raise RefusedError(404, f"Test result {owner} of test run {run.id} cannot be found.")
    run.attachments.append((owner, call.body["fileName"], base64.b64decode(call.body["stream"], validate=True)))
    return {"id": len(run.attachments), "url": call.url}


def _oidc_token(organisation: Organisation, call: Call) -> Any:
    connection = call.query.get("serviceConnectionId")
    if connection not in organisation.connections:
        raise RefusedError(404, f"No service connection {connection} is authorized for this job.")
    token = f"oidc-{secrets.token_urlsafe(24)}"
    organisation.oidc_tokens.add(token)
    return {"oidcToken": token}


def _secure_file(organisation: Organisation, call: Call) -> Any:
    ticket, content = organisation.secure_files.get(call.values["secureFileId"], ("", b""))
    if not ticket or call.query.get("ticket") != ticket:
        raise RefusedError(404, "There is no such secure file, or the ticket is not its.")
    return content


def _run(organisation: Organisation, call: Call) -> TestRun:
    run = organisation.runs.get(int(call.values["runId"]))
    if run is None:
        raise RefusedError(404, f"Test run {call.values['runId']} cannot be found.")
    return run


def _state(body: dict[str, Any]) -> str:
    if body.get("state") not in RUN_STATES:
        raise RefusedError(400, f"unknown state {body.get('state')}")
    return str(body["state"])


def _list(body: Any) -> list[Any]:
    if not isinstance(body, list) or not body:
        raise RefusedError(400, "the body must be a list")
    return body


def _only(body: Any, keys: set[str]) -> None:
    if not isinstance(body, dict) or not set(body) <= keys:
        raise RefusedError(400, f"unknown keys: {sorted(set(body) - keys) if isinstance(body, dict) else body!r}")
