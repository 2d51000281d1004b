"""The portable thumbprint store: what is known of each synchronised certificate, never a private key.

    STORE/certificates/<THUMBPRINT>/chain.pem    the chain (RFC 7468 §5), leaf first
    STORE/certificates/<THUMBPRINT>/entry.json   schema kspsign.certificate/1

Each file is replaced as a whole, `entry.json` last, so that jobs at the same time leave one that is complete;
as the leaf follows from the thumbprint, any job's chain fits any job's entry.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kspsign.certificates.facts import certificate_facts
from kspsign.certificates.parse import parse_certificate, thumbprint_of, to_der
from kspsign.certificates.record import RECORD, record_folder
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import PrerequisiteError
from kspsign.model.suggest import did_you_mean
from kspsign.model.values import SyncedCertificate, iso_utc


class _StoredEntry(BaseModel):
    """entry.json; only the fields about the key are read back, the certificate's facts are for people."""

    model_config = ConfigDict(frozen=True, strict=True, serialize_by_alias=True)

    schema_name: Literal["kspsign.certificate/1"] = Field(alias="schema")
    thumbprint: str
    sha256: str
    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    alias: str | None
    key_store: str
    key_reference: dict[str, str]
    test_signing: bool
    synced_at: str


def write_entry(store: Path, certificate: SyncedCertificate) -> None:
    """Keep `certificate` in `store`, in place of what was known of it before.

    Raises PrerequisiteError when the store can't be written or the certificate can't be read.
    """
    facts = certificate_facts(certificate)
    entry = _StoredEntry(
        schema="kspsign.certificate/1",
        thumbprint=facts.thumbprint,
        sha256=facts.sha256,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=facts.serial,
        not_before=facts.not_before,
        not_after=facts.not_after,
        alias=certificate.alias,
        key_store=certificate.key_store,
        key_reference=certificate.key_reference,
        test_signing=certificate.test_signing,
        synced_at=iso_utc(datetime.now(UTC)),
    )
    folder = record_folder(store, certificate.thumbprint)
    try:
        write_atomically(folder / "chain.pem", map(_pem, certificate.chain))
        write_atomically(folder / RECORD, (entry.model_dump_json(indent=2).encode(), b"\n"))
    except OSError as refused:
        raise PrerequisiteError(
            f"the thumbprint store {store} can't be written: {refused}",
            code="STORE_NOT_WRITABLE",
            remedy="Name a folder that this user may write with --store.",
        ) from refused


def read_entry(store: Path, thumbprint: str) -> SyncedCertificate:
    """The certificate that `store` keeps for `thumbprint` (40 upper-case hex digits).

    Raises PrerequisiteError when there is none, with the nearest known one, or when its files are damaged.
    """
    folder = record_folder(store, thumbprint)
    path = folder / RECORD
    try:
        entry = _StoredEntry.model_validate_json(path.read_bytes())
        path = folder / "chain.pem"
        chain = tuple(map(to_der, x509.load_pem_x509_certificates(path.read_bytes())))
    except FileNotFoundError as missing:
        if path.name == RECORD:
            raise _unknown(store, thumbprint) from missing
        raise _damaged(path, "it is missing") from missing
    except ValidationError as invalid:
        raise _damaged(path, invalid.errors(include_url=False)[0]["msg"]) from invalid
    except (OSError, ValueError) as unreadable:
        raise _damaged(path, str(unreadable)) from unreadable
    if not chain or thumbprint_of(chain[0]) != thumbprint:
        raise _damaged(path, "its first certificate does not have this thumbprint")
    return SyncedCertificate(
        thumbprint=thumbprint,
        chain=chain,
        alias=entry.alias,
        key_store=entry.key_store,
        key_reference=entry.key_reference,
        test_signing=entry.test_signing,
    )


def list_entries(store: Path) -> tuple[SyncedCertificate, ...]:
    """All certificates in `store`, by thumbprint; raises PrerequisiteError when one is damaged."""
    return tuple(read_entry(store, thumbprint) for thumbprint in _known(store))


def _known(store: Path) -> list[str]:
    return sorted(path.parent.name for path in store.glob(f"certificates/*/{RECORD}"))


def _unknown(store: Path, thumbprint: str) -> PrerequisiteError:
    known = _known(store)
    hint = did_you_mean(thumbprint, known, cutoff=0.8)
    return PrerequisiteError(
        f"no certificate with thumbprint {thumbprint} in {store}; known: {', '.join(known) or 'none'}",
        code="UNKNOWN_THUMBPRINT",
        remedy=f"{hint}{'Otherwise run' if hint else 'Run'} kspsign certsync first, with the same --store and as the "
        "same user.",
    )


def _damaged(path: Path, detail: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the thumbprint store is damaged: {path}: {detail}",
        code="STORE_DAMAGED",
        remedy=f"Delete the folder {path.parent} and run kspsign certsync again.",
    )


def _pem(der: bytes) -> bytes:
    return parse_certificate(der).public_bytes(Encoding.PEM)
