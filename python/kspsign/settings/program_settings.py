"""The settings needed to run external programs; key stores receive them too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

if TYPE_CHECKING:
    from kspsign.model.network_options import NetworkOptions


class ProgramSettings(Protocol):
    """Where programs are, and the environment that they get.

    `signtool` and `smctl` are None unless they were named. `agent_environment` is what every program gets,
    `credentials` what those that sign get besides. `temp_folder` is None for the system's own.
    """

    @property
    def signtool(self) -> Path | None: ...

    @property
    def smctl(self) -> Path | None: ...

    @property
    def agent_environment(self) -> Mapping[str, str]: ...

    @property
    def credentials(self) -> Mapping[str, SecretStr]: ...

    @property
    def network(self) -> NetworkOptions: ...

    @property
    def temp_folder(self) -> Path | None: ...
