"""The network options of a run: proxies, certificate authorities, and how long an exchange may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class NamedProxy:
    """A proxy as it was given: the setting's name and its text, whose login (if any) is a secret.

    An empty text means no proxy. `username` and `password` come from the same setting.
    """

    setting: str
    text: str = field(repr=False)
    username: str = ""
    password: str = field(default="", repr=False)


class CaFile(NamedTuple):
    """A PEM file with roots to trust in addition to the system's, and the setting that names it."""

    path: Path
    setting: str


class NetworkOptions(NamedTuple):
    """Frozen, and the same for every connection of a run.

    `proxies` are by scheme ("http", "https"), `no_proxy` holds the entries of NO_PROXY. `agent_proxy` is the build
    agent's own, for what no variable decides, and `agent_bypass` holds its regular expressions on URLs that are
    reached without it. `deadline` is in seconds, for a whole exchange; None is what each service's client sets.
    """

    proxies: Mapping[str, NamedProxy] = MappingProxyType({})
    no_proxy: tuple[str, ...] = ()
    agent_proxy: NamedProxy | None = None
    agent_bypass: tuple[str, ...] = ()
    ca_file: CaFile | None = None
    deadline: float | None = None

    def direct(self) -> NetworkOptions:
        """The same without any proxy and CA file: for a server of our own on loopback, which speaks plain HTTP."""
        return self._replace(no_proxy=("*",), ca_file=None)
