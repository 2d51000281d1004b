"""The throw-away authority: root, intermediate, code-signing leaf, timestamp unit; in memory or in a folder.

Everything it issues is test signing and its subjects say so. The folder holds `<role>.pem` (certificate) and
`<role>.key` (PKCS#8 PEM, RFC 5958, unencrypted) for each role, readable by its owner only.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.embedded.issue import (
    KeyedCertificate,
    issue_intermediate,
    issue_leaf,
    issue_root,
    issue_timestamp_unit,
    new_key,
)
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import iso_utc

ROLES = ("root", "intermediate", "leaf", "timestamp")
_RENEWAL = "Delete the folder {folder} and run `kspsign certsync --key-store embedded` for new test keys."


class EmbeddedAuthority(NamedTuple):
    """Four certificates with their private keys: leaf <- intermediate <- root, and timestamp unit <- root."""

    root: KeyedCertificate
    intermediate: KeyedCertificate
    leaf: KeyedCertificate
    timestamp: KeyedCertificate

    @property
    def signing_chain(self) -> tuple[bytes, ...]:
        """The code-signing certificates as DER, leaf first, root last."""
        return tuple(
            keyed.certificate.public_bytes(serialization.Encoding.DER)
            for keyed in (self.leaf, self.intermediate, self.root)
        )


def create_authority(now: datetime) -> EmbeddedAuthority:
    """Creates an authority in memory, valid from `now` (timezone-aware): the leaf one year, the others longer."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only the first run makes keys

    with ThreadPoolExecutor(len(ROLES)) as pool:
        root_key, intermediate_key, leaf_key, timestamp_key = pool.map(lambda _: new_key(), ROLES)
    root = issue_root(root_key, now)
    intermediate = issue_intermediate(root, intermediate_key, now)
    return EmbeddedAuthority(
        root=root,
        intermediate=intermediate,
        leaf=issue_leaf(intermediate, leaf_key, now),
        timestamp=issue_timestamp_unit(root, timestamp_key, now),
    )


def load_or_create(folder: Path, *, now: datetime | None = None) -> EmbeddedAuthority:
    """The authority stored in `folder`, created there first if the folder is missing or empty.

    Processes that start at the same time get the same authority. Raises PrerequisiteError when the folder
    can't be written, its content is damaged, or its certificates have expired at `now` (default: the clock).
    """
    moment = now or datetime.now(UTC)
    try:
        if not folder.is_dir() or not any(folder.iterdir()):
            _install(create_authority(moment), folder)
    except OSError as refused:
        raise PrerequisiteError(
            f"the embedded test keys can't be stored in {folder}: {refused}",
            code="EMBEDDED_NOT_WRITABLE",
            remedy="Use --store to name a folder that this user can write to.",
        ) from refused
    return load_authority(folder, now=moment)


def load_authority(folder: Path, *, now: datetime | None = None) -> EmbeddedAuthority:
    """The authority stored in `folder`; raises PrerequisiteError when it is missing, damaged or expired at `now`."""
    root, intermediate, leaf, timestamp = (_load(folder, role) for role in ROLES)
    for keyed in (leaf, intermediate, timestamp, root):
        end = keyed.certificate.not_valid_after_utc
        if end <= (now or datetime.now(UTC)):
            raise PrerequisiteError(
                f"the embedded test certificate in {folder} expired at {iso_utc(end)}",
                code="EMBEDDED_EXPIRED",
                remedy=_RENEWAL.format(folder=folder),
            )
    return EmbeddedAuthority(root, intermediate, leaf, timestamp)


def _load(folder: Path, role: str) -> KeyedCertificate:
    path = folder / f"{role}.pem"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        path = folder / f"{role}.key"
        # Validating the primes takes 0.1 s per key; these were written here, and must match the certificate.
        key = serialization.load_pem_private_key(path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True)
    except (OSError, ValueError, TypeError) as damage:
        raise _damaged(folder, path, str(damage)) from damage
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise _damaged(folder, path, "the key does not belong to its certificate")
    return KeyedCertificate(certificate, key)


def _damaged(folder: Path, path: Path, detail: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the embedded test keys are missing or damaged: {path}: {detail}",
        code="EMBEDDED_DAMAGED",
        remedy=_RENEWAL.format(folder=folder),
    )


def _install(authority: EmbeddedAuthority, folder: Path) -> None:
    """Write to a sibling folder, then rename: the first process to rename wins, the others discard theirs."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}-{secrets.token_hex(8)}")
    draft.mkdir(mode=0o700)
    try:
        for role in ROLES:
            _write(draft, role, getattr(authority, role))
        with suppress(OSError):
            folder.rmdir()  # Windows does not rename onto a folder, not even an empty one
        draft.rename(folder)
    except OSError:
        if not (folder / f"{ROLES[0]}.pem").exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(folder: Path, role: str, keyed: KeyedCertificate) -> None:
    pem = serialization.Encoding.PEM
    key = keyed.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, content in ((f"{role}.pem", keyed.certificate.public_bytes(pem)), (f"{role}.key", key)):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
