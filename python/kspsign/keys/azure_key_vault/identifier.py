"""The URL of a key or certificate in Azure Key Vault or Managed HSM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from kspsign.model.errors import ConfigurationError

_PATH = re.compile(r"/(keys|certificates)/([0-9A-Za-z-]{1,127})(?:/([0-9A-Za-z]{1,64}))?/?")


_AUTHORITIES = {
    "azure.cn": "login.chinacloudapi.cn",
    "usgovcloudapi.net": "login.microsoftonline.us",
}
"""Where the sovereign clouds sign in, by the domain of their vaults and HSMs."""


def sign_in_host(vault: str) -> str | None:
    """The host that signs in for the vault at `vault` (https://host); None for the public cloud's."""
    host = urlsplit(vault).hostname or ""
    return next((place for domain, place in _AUTHORITIES.items() if host.endswith(f".{domain}")), None)


@dataclass(frozen=True, slots=True)
class Identifier:
    """`vault` is https://host, `kind` keys or certificates, `version` None for the newest valid one."""

    vault: str
    kind: str
    name: str
    version: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ConfigurationError when `url` is not such an identifier."""
        parts = urlsplit(url.strip())
        path = _PATH.fullmatch(parts.path)
        if parts.scheme != "https" or not parts.hostname or path is None or parts.query or "@" in parts.netloc:
            raise ConfigurationError(
                f"{url!r} is not an identifier of a Key Vault key or certificate",
                remedy="Copy it from the portal: https://VAULT.vault.azure.net/certificates/NAME[/VERSION], or "
                "https://HSM.managedhsm.azure.net/keys/NAME[/VERSION].",
            )
        return cls(f"https://{parts.netloc}", path[1], path[2], path[3])
