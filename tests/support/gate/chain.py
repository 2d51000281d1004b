"""Runs a server task's HttpRequestChain as Azure DevOps does: substitute, ask, evaluate, hand values on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from support.gate.expressions import ExpressionError, evaluate, truth

REFERENCE = re.compile(r"\$\(([\w.]+)\)")


@dataclass(frozen=True)
class Reply:
    """One answer over HTTP."""

    status: HTTPStatus
    body: str


@dataclass(frozen=True)
class Asked:
    """One request as it was sent, all references replaced."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Sample:
    """One evaluation of the gate: which link said no (None: it passed), why, and what was asked."""

    refused_by: int | None
    reason: str
    asked: tuple[Asked, ...]


def run_chain(
    task: dict[str, Any], inputs: dict[str, str], variables: dict[str, str], ask: Callable[[Asked], Reply]
) -> Sample:
    """One sample of `task` with `inputs` over the defaults; the first link that says no ends it."""
    known = {name.lower(): value for name, value in variables.items()}
    given = {declared["name"]: declared.get("defaultValue", "") for declared in task["inputs"]} | inputs
    known |= {name.lower(): replaced(value, known) for name, value in given.items()}
    asked: list[Asked] = []
    for number, link in enumerate(task["execution"]["HttpRequestChain"]["Execute"]):
        request = {key: replaced(value, known) for key, value in link["RequestInputs"].items()}
        asked.append(Asked(request["EndpointUrl"], json.loads(request["Headers"])))
        reply = ask(asked[-1])
        if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
            return Sample(number, f"{reply.status.value}", tuple(asked))
        names = {"root": _root(reply), "response": {"statuscode": _pascal(reply.status)}, "variables": known}
        try:
            if not truth(evaluate(request["Expression"], names)):
                return Sample(number, "the expression is false", tuple(asked))
            for name, value in link.get("ExecutionOptions", {}).get("OutputVariables", {}).items():
                known[name.lower()] = evaluate(value, names)
        except ExpressionError as fault:
            return Sample(number, str(fault), tuple(asked))
    return Sample(None, "", tuple(asked))


def replaced(text: str, known: dict[str, str]) -> str:
    """`text` with every reference to a known name replaced; an unknown one stays as it is."""
    return REFERENCE.sub(lambda match: known.get(match[1].lower(), match[0]), text)


def _root(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        return None


def _pascal(status: HTTPStatus) -> str:
    return "OK" if status is HTTPStatus.OK else status.phrase.title().replace(" ", "")
