"""What DownloadSecureFile@1 does before our step, with Microsoft's own client for Node."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.agent.commands import parse
from support.agent.mini import MiniAgent

SCRIPT = Path(__file__).with_name("download_secure_file.cjs")


def download(
    agent: MiniAgent, identifier: str, name: str, ticket: str, *, server: tuple[str, str], keep_temp: bool = False
) -> Path | None:
    """Where the secure file is now, None when it could not be had. `server` is the collection's URL and a token.

    The temporary folder is emptied before, as at the beginning of a job, unless `keep_temp` is true.
    """
    if not keep_temp:
        agent.empty_temp()
    environment = agent.inherited() | {
        "INPUT_SECUREFILE": identifier,
        f"SECUREFILE_TICKET_{identifier}": ticket,
        f"SECUREFILE_NAME_{identifier}": name,
        "AGENT_TEMPDIRECTORY": str(agent.temp),
        "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": f"{server[0]}/",
        "SYSTEM_TEAMPROJECT": "Apps",
        "ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN": server[1],
    }
    done = subprocess.run(agent.node(SCRIPT), env=environment, capture_output=True, text=True, check=False)
    commands = [command for line in done.stdout.splitlines() if (command := parse(line))]
    return next((Path(command.data) for command in commands if command.name == "task.setvariable"), None)
