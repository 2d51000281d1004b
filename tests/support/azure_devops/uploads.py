"""What the agent does with a step's output: it uploads the attachments that the step names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.agent.commands import parse

JOB_ID = "12f1170f-54f2-53f3-20dd-22fc7dff55f9"


@dataclass(frozen=True)
class Upload:
    """One file that a step attached."""

    kind: str
    name: str
    content: bytes


def step_variables(collection: str, temp: Path, *, build: str = "4711", attempt: str = "1") -> dict[str, str]:
    """The variables of a step, as its environment has them."""
    return {
        "TF_BUILD": "True",
        "BUILD_BUILDID": build,
        "SYSTEM_COLLECTIONURI": collection,
        "SYSTEM_TEAMPROJECT": "Apps",
        "SYSTEM_JOBID": JOB_ID,
        "SYSTEM_JOBATTEMPT": attempt,
        "AGENT_TEMPDIRECTORY": str(temp),
    }


def uploads(output: str) -> list[Upload]:
    """The attachments of a step, read as soon as it has named them."""
    commands = [command for line in output.splitlines() if (command := parse(line))]
    return [
        Upload(command.properties["type"], command.properties["name"], Path(command.data).read_bytes())
        for command in commands
        if command.name == "task.addattachment"
    ]
