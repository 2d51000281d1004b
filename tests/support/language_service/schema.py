"""The service schema for the language service: the shape of a pipeline, our tasks from their task.json, known tasks.

An organisation's service makes the same from the tasks that are installed there.
"""

from __future__ import annotations

import json
from typing import Any

from support.places import ROOT

TASKS = [
    json.loads((ROOT / "task" / name / "task.json").read_text("utf-8")) for name in ("KspSign", "KspSignatureGate")
]

KNOWN_TASKS: dict[str, dict[str, str]] = {
    "DownloadSecureFile@1": {"secureFile": "string", "retryCount": "string", "socketTimeout": "string"},
    "DownloadPipelineArtifact@2": {
        "buildType": "string",
        "artifact": "string",
        "patterns": "string",
        "path": "string",
    },
    "UsePythonVersion@0": {"versionSpec": "string", "addToPath": "boolean", "architecture": "string"},
    "UseNode@1": {"version": "string"},
    "InvokeRESTAPI@1": {
        "connectionType": "string",
        "serviceConnection": "string",
        "method": "string",
        "urlSuffix": "string",
        "waitForCompletion": "boolean",
        "successCriteria": "string",
    },
}
"""Tasks of Azure Pipelines that our files use: their inputs, with types."""

STRING: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
INTEGER: dict[str, Any] = {"type": "integer"}
ANY: dict[str, Any] = {}
MAPPING: dict[str, Any] = {"type": "object"}
LIST: dict[str, Any] = {"type": "array"}


def service_schema() -> dict[str, Any]:
    """The schema of whole pipelines and of templates."""
    definitions = {
        "step": {"anyOf": [*_tasks(), *_steps()]},
        "steps": {"type": "array", "items": _ref("step")},
        "job": {"anyOf": [_job(), _deployment(), _template("template")]},
        "jobs": {"type": "array", "items": _ref("job")},
        "stage": {"anyOf": [_stage(), _template("template")]},
        "stages": {"type": "array", "items": _ref("stage")},
        "pool": {"anyOf": [STRING, _object(name=STRING, vmImage=STRING, demands=ANY)]},
        "parameter": _object(
            first="name",
            required=["name", "type"],
            name=STRING,
            type=STRING,
            displayName=STRING,
            default=ANY,
            values=LIST,
        ),
    }
    return {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": definitions, **_root()}


def _root() -> dict[str, Any]:
    head = {"parameters": {"type": "array", "items": _ref("parameter")}}
    pipeline = head | {
        "name": STRING,
        "trigger": ANY,
        "pr": ANY,
        "schedules": LIST,
        "resources": MAPPING,
        "variables": ANY,
        "pool": _ref("pool"),
        "strategy": _strategy(),
    }
    bodies = {
        "stages": _ref("stages"),
        "jobs": _ref("jobs"),
        "steps": _ref("steps"),
        "extends": _object(required=["template"], template=STRING, parameters=MAPPING),
    }
    return {"anyOf": [{**_keys(pipeline | {body: schema}), "required": [body]} for body, schema in bodies.items()]}


def _tasks() -> list[dict[str, Any]]:
    ours = {
        f"{task['name']}@{task['version']['Major']}": {
            declared["name"]: _input(declared) for declared in task["inputs"]
        }
        for task in TASKS
    }
    types = {"string": STRING, "boolean": BOOLEAN}
    known = {task: {name: types[kind] for name, kind in inputs.items()} for task, inputs in KNOWN_TASKS.items()}
    return [
        _object(first="task", required=["task"], task={"enum": [name]}, inputs=_keys(inputs), **_STEP)
        for name, inputs in {**known, **ours}.items()
    ]


def _input(declaration: dict[str, Any]) -> dict[str, Any]:
    kind = declaration["type"]
    if kind == "pickList":
        # A template hands its own parameter on; the service puts the value in before it looks at it.
        return {
            "anyOf": [{"enum": list(declaration["options"])}, {"type": "string", "pattern": r"^\$\{\{ parameters\."}]
        }
    return {"boolean": BOOLEAN, "int": INTEGER}.get(kind, STRING)


def _steps() -> list[dict[str, Any]]:
    scripts = [
        _object(first=name, required=[name], **{name: STRING}, workingDirectory=STRING, failOnStderr=BOOLEAN, **_STEP)
        for name in ("script", "bash", "pwsh", "powershell")
    ]
    checkout = _object(first="checkout", required=["checkout"], checkout=STRING, fetchDepth=INTEGER, clean=ANY, **_STEP)
    publish = _object(first="publish", required=["publish"], publish=STRING, artifact=STRING, **_STEP)
    download = _object(first="download", required=["download"], download=STRING, artifact=STRING, **_STEP)
    return [*scripts, checkout, publish, download, _template("template"), {"type": "string", "pattern": r"^\$\{\{"}]


def _strategy() -> dict[str, Any]:
    return {"anyOf": [_object(required=["parallel"], parallel=INTEGER), _object(matrix=MAPPING, maxParallel=INTEGER)]}


def _job() -> dict[str, Any]:
    return _object(
        first="job", required=["job", "steps"], job=STRING, strategy=_strategy(), steps=_ref("steps"), **_JOB
    )


def _deployment() -> dict[str, Any]:
    deploy = _object(required=["deploy"], deploy=_object(required=["steps"], steps=_ref("steps")))
    strategy = _object(required=["runOnce"], runOnce=deploy)
    required = ["deployment", "environment", "strategy"]
    return _object(first="deployment", required=required, deployment=STRING, environment=ANY, strategy=strategy, **_JOB)


def _stage() -> dict[str, Any]:
    more = {"dependsOn": ANY, "condition": STRING, "variables": ANY, "displayName": STRING, "lockBehavior": STRING}
    return _object(first="stage", required=["stage", "jobs"], stage=STRING, jobs=_ref("jobs"), **more)


def _template(name: str) -> dict[str, Any]:
    return _object(first=name, required=[name], parameters=MAPPING, **{name: STRING})


def _object(first: str | None = None, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """A mapping with these keys and no others; the service itself looks through compile-time conditions."""
    more: dict[str, Any] = {"firstProperty": [first]} if first else {}
    return {**_keys(properties), "required": required or [], **more}


def _keys(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"}


_STEP: dict[str, Any] = {
    "name": STRING,
    "displayName": STRING,
    "condition": STRING,
    "continueOnError": BOOLEAN,
    "enabled": BOOLEAN,
    "env": MAPPING,
    "timeoutInMinutes": INTEGER,
    "retryCountOnTaskFailure": INTEGER,
    "target": ANY,
}
_JOB: dict[str, Any] = {
    "displayName": STRING,
    "dependsOn": ANY,
    "condition": STRING,
    "pool": {"$ref": "#/definitions/pool"},
    "variables": ANY,
    "timeoutInMinutes": INTEGER,
    "workspace": MAPPING,
}
