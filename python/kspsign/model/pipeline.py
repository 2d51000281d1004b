"""What a pipeline's variables say of the run besides the report's BuildFacts. Any caller may set them: no evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PipelineFacts:
    """The source and the definition of a run; "" where the pipeline does not say.

    `branch` is a full ref name (refs/heads/main), `repository_uri` where the source is, `definition_id` the pipeline's
    number, or the path and ref of a workflow. `requested_for` is the person for whom it runs, `reason` what started it.
    `project_uri` is the address that definitions and runs are below. `hosted` is true on an agent of the service.
    """

    host: Literal["azure-pipelines", "github-actions"]
    branch: str
    repository_uri: str
    definition_id: str
    requested_for: str
    reason: str
    project_uri: str
    hosted: bool
