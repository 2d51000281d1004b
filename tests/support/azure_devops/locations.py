"""The table of places that Azure DevOps answers to OPTIONS: clients build every address from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Location:
    """One resource: its fixed id, where it is and the newest version of it."""

    id: str
    area: str
    name: str
    template: str
    version: int = 1

    @property
    def described(self) -> dict[str, Any]:
        """As the server tells it."""
        return {
            "id": self.id,
            "area": self.area,
            "resourceName": self.name,
            "routeTemplate": self.template,
            "resourceVersion": self.version,
            "minVersion": "1.0",
            "maxVersion": "7.2",
            "releasedVersion": "7.1",
        }

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path below the collection looks like; the last value may be missing."""
        path = self.template.replace("{area}", self.area).replace("{resource}", self.name).replace("{*", "{")
        parts = [f"/(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else f"/{part}" for part in path.split("/")]
        if parts[-1].startswith("/(?P"):
            parts[-1] = f"(?:{parts[-1]})?"
        return re.compile("".join(parts), re.IGNORECASE)

    def match(self, path: str) -> dict[str, str] | None:
        """The decoded values in `path`; None when it is another resource's."""
        found = self.pattern.fullmatch(path)
        return None if found is None else {key: unquote(value) for key, value in found.groupdict().items() if value}


_BUILD = "{project}/_apis/{area}/builds/{buildId}"
_RUN = "{project}/_apis/{area}/Runs/{runId}"
_JOB = "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/jobs/{jobId}"

LOCATIONS = (
    Location("e81700f7-3be2-46de-8624-2eb35882fcaa", "Location", "ResourceAreas", "_apis/{resource}/{areaId}"),
    Location(
        "0cd358e1-9217-4d94-8269-1c1ee6f93dcf", "build", "builds", "{project}/_apis/{area}/{resource}/{buildId}", 7
    ),
    Location("6e6114b2-8161-44c8-8f6c-c5505782427f", "build", "tags", f"{_BUILD}/{{resource}}/{{*tag}}", 3),
    Location("0a6312e9-0627-49b7-8083-7d74a64849c9", "build", "properties", f"{_BUILD}/{{resource}}"),
    Location("8baac422-4c6e-4de5-8532-db96d92acffa", "build", "timeline", f"{_BUILD}/{{resource}}/{{timelineId}}", 2),
    Location("f2192269-89fa-4f94-baf6-8fb128c55159", "build", "attachments", f"{_BUILD}/{{resource}}/{{type}}", 2),
    Location(
        "af5122d3-3438-485e-a25a-2dbbfde84ee6",
        "build",
        "attachments",
        f"{_BUILD}/{{timelineId}}/{{recordId}}/{{resource}}/{{type}}/{{name}}",
        2,
    ),
    Location("cadb3810-d47d-4a3c-a234-fe5f3be50138", "Test", "Runs", "{project}/_apis/{area}/{resource}/{runId}", 3),
    Location("4637d869-3a76-4468-8057-0bb02aa385cf", "Test", "Results", f"{_RUN}/{{resource}}/{{testCaseResultId}}", 6),
    Location("4f004af4-a507-489c-9b13-cb62060beb11", "Test", "Attachments", f"{_RUN}/{{resource}}/{{attachmentId}}"),
    Location(
        "2bffebe9-2f0f-4639-9af8-56129e9fed2d",
        "Test",
        "Attachments",
        f"{_RUN}/Results/{{testCaseResultId}}/{{resource}}/{{attachmentId}}",
    ),
    Location("69a319f4-28c1-4bfd-93e6-ea0ff5c6f1a2", "distributedtask", "oidctoken", f"{_JOB}/{{resource}}"),
    Location(
        "adcfd8bc-b184-43ba-bd84-7c8c6a2ff421",
        "distributedtask",
        "securefiles",
        "{project}/_apis/{area}/{resource}/{secureFileId}",
    ),
)


def located(path: str) -> tuple[Location, dict[str, str]] | None:
    """The resource at `path` below the collection, and the values in it."""
    for location in LOCATIONS:
        values = location.match(path)
        if values is not None:
            return location, values
    return None
