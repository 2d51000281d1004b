"""The options of key store esigner: which of SSL.com's environments; the credential is keypair_alias."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kspsign.keys.options import IssuerFetching
from kspsign.settings.store_options import Ambient, Metavar

EnvironmentName = Literal["production", "sandbox"]


class ESignerOptions(IssuerFetching):
    """Environment and credential. Login and TOTP secret come from variables only."""

    variables: ClassVar[frozenset[str]] = frozenset({"ESIGNER_PASSWORD", "ESIGNER_TOTP_SECRET", "ESIGNER_USERNAME"})

    esigner_environment: Annotated[EnvironmentName, Ambient.REFUSED] = Field(
        "production", description="Environment of SSL.com's eSigner."
    )
    esigner_client_id: Annotated[str | None, Ambient.REFUSED, Metavar("ID")] = Field(
        None, description="Client id of your own application at SSL.com (default: that of CodeSignTool)."
    )
