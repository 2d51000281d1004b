"""Which certificate profile signs: the endpoint of a region, an account there, a profile of the account."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit

from kspsign.model.errors import ConfigurationError

DOMAIN = ".codesigning.azure.net"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_BELOW_BASE = re.compile(r"[/:][0-9A-Za-z/_-]{1,200}\?api-version=[0-9A-Za-z-]{1,40}")


@dataclass(frozen=True, slots=True)
class ProfileAddress:
    """`endpoint` has no slash at its end."""

    endpoint: str
    account: str
    profile: str

    @classmethod
    def parse(cls, endpoint: str, account: str, profile: str) -> Self:
        """Raises ConfigurationError for what is not an endpoint of the service, or no name.

        A token is sent to the endpoint that whoever gets it can sign with: it must be Microsoft's, or this machine.
        """
        text = endpoint.strip()
        parts = urlsplit(text if "://" in text else f"https://{text}")
        try:
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            host, port = "", None
        own = host.removesuffix(DOMAIN)
        is_service = parts.scheme == "https" and port in {None, 443} and bool(_NAME.fullmatch(own)) and own != host
        is_here = parts.scheme in {"http", "https"} and host in _LOOPBACK
        if not (is_service or is_here) or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigurationError(
                f"{endpoint!r} is not an endpoint of Azure Artifact Signing",
                remedy=f"Give --signing-endpoint as the account's page shows it (Account URI): https://weu{DOMAIN}.",
            )
        for option, name in (("--signing-account", account), ("--certificate-profile", profile)):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(
                    f"{name!r} is not a name in Azure Artifact Signing ({option})",
                    remedy=f"Copy {option} from the Azure portal: the name alone, case-sensitive.",
                )
        return cls(f"{parts.scheme}://{host if is_service else parts.netloc}", account, profile)

    @property
    def base(self) -> str:
        """The profile's URL, which the data plane's calls begin with."""
        account, profile = quote(self.account, safe=""), quote(self.profile, safe="")
        return f"{self.endpoint}/codesigningaccounts/{account}/certificateprofiles/{profile}"

    def has(self, url: str) -> bool:
        """Whether `url` is a call of this profile: nothing else gets the token, wherever the URL comes from."""
        return url.startswith(self.base) and _BELOW_BASE.fullmatch(url[len(self.base) :]) is not None

    def __str__(self) -> str:
        return f"{self.account}/{self.profile} at {self.endpoint}"


def operation_id(operation: str) -> str:
    """The id at the end of an operation's URL, which the account's log has."""
    return urlsplit(operation).path.rpartition("/")[2]
