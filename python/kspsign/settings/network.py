"""The options of connections, from --ca-file and from NETWORK_VARIABLES: the step's first, then the build agent's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from kspsign.model.errors import ConfigurationError
from kspsign.model.network_options import CaFile, NamedProxy, NetworkOptions

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AGENT_CAINFO")


def network_options(variables: Mapping[str, SecretStr], ca_file: Path | None) -> NetworkOptions:
    """The options that `ca_file` (--ca-file) and the variables of a step give.

    Raises ConfigurationError when the agent's list of hosts without proxy can't be read.
    """
    given = {name: value.get_secret_value().strip() for name, value in variables.items()}
    proxies = {}
    for scheme in ("http", "https"):
        names = (f"{scheme}_proxy", f"{scheme}_PROXY".upper(), "all_proxy", "ALL_PROXY")
        name = next((name for name in names if name in given), None)
        if name is not None:
            proxies[scheme] = NamedProxy(name, given[name])
    url = given.get("AGENT_PROXYURL")
    return NetworkOptions(
        proxies=proxies,
        no_proxy=tuple(re.split(r"[\s,]+", given.get("no_proxy", given.get("NO_PROXY", "")).strip(" ,"))),
        agent_proxy=NamedProxy(
            "AGENT_PROXYURL", url, given.get("AGENT_PROXYUSERNAME", ""), given.get("AGENT_PROXYPASSWORD", "")
        )
        if url
        else None,
        agent_bypass=_agent_bypass(given.get("AGENT_PROXYBYPASSLIST") or "[]"),
        ca_file=_ca_file(given, ca_file),
    )


def _ca_file(given: Mapping[str, str], chosen: Path | None) -> CaFile | None:
    if chosen is not None:
        return CaFile(chosen, "--ca-file")
    return next((CaFile(Path(given[name]), name) for name in _CA_VARIABLES if given.get(name)), None)


def _agent_bypass(text: str) -> tuple[str, ...]:
    """The agent's list: a JSON array of regular expressions."""
    try:
        listed = json.loads(text)
        if not isinstance(listed, list):
            raise TypeError  # noqa: TRY301 - one remedy for everything that is not a list of expressions
        for expression in listed:
            re.compile(expression)
    except (ValueError, TypeError, RecursionError, re.error) as broken:
        raise ConfigurationError(
            "AGENT_PROXYBYPASSLIST is not a JSON array of regular expressions",
            remedy="Correct the agent's .proxybypass file, or name the proxy in HTTPS_PROXY and NO_PROXY instead.",
        ) from broken
    return tuple(listed)
