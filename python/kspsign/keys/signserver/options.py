"""The options of key store signserver: which server; the worker is keypair_alias."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from kspsign.keys.options import CertificateFile, IssuerFetching
from kspsign.settings.store_options import Ambient, Metavar


class SignServerOptions(CertificateFile, IssuerFetching):
    """Server, worker and the worker's certificate. Credentials come from variables only."""

    variables: ClassVar[frozenset[str]] = frozenset(
        {
            "SIGNSERVER_CLIENT_CERT_FILE",
            "SIGNSERVER_CLIENT_CERT_FILE_B64",
            "SIGNSERVER_CLIENT_CERT_PASSWORD",
            "SIGNSERVER_PASSWORD",
            "SIGNSERVER_TOKEN",
            "SIGNSERVER_USERNAME",
        }
    )

    signserver_url: Annotated[str | None, Ambient.REFUSED, Metavar("URL")] = Field(
        None, description="URL of SignServer with its path: https://HOST/signserver."
    )

    @property
    def means_synchronised(self) -> bool:
        """Without server and worker an earlier certsync is meant, which knows them."""
        return self.thumbprint is not None and self.signserver_url is None and self.keypair_alias is None
