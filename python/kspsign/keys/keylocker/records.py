"""Certificates and key pairs as the API of DigiCert ONE describes them; what is not used here is passed over."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

_ACTIVE: Final = "ACTIVE"


class _Account(BaseModel):
    id: str | None = None


class NamedRecord(BaseModel):
    """A record that another one names."""

    id: str
    alias: str | None = None


class _ChainPart(BaseModel):
    blob: str


class CertificateRecord(BaseModel):
    """A certificate as the service describes it; `cert` and the chain's blobs are DER in base64."""

    id: str
    cert: str
    alias: str | None = None
    certificate_status: str | None = None
    keypair: NamedRecord | None = None
    account: _Account | None = None
    chain: list[_ChainPart] | None = None

    @property
    def withdrawn(self) -> str | None:
        """Why the service refuses to sign with it, such as "revoked"; None when it is active."""
        status = (self.certificate_status or _ACTIVE).upper()
        return None if status == _ACTIVE else status.lower()


class KeypairRecord(BaseModel):
    """A key pair as the service describes it; `account` goes back to it as it came."""

    id: str
    alias: str | None = None
    key_status: str | None = None
    key_type: str | None = None
    key_alg: str | None = None
    key_size: int | None = None
    curve: str | None = None
    key_modal_type: str | None = None
    key_storage: str | None = None
    certificates: list[NamedRecord] | None = None
    public_key: str | None = None
    is_signable_by_me: bool | None = None
    account: dict[str, Any] | None = None
