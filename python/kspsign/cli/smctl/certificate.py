"""`smctl certificate ls` and `smctl certificate download`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.certificates.parse import parse_certificate
from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.session import service
from kspsign.cli.smctl.table import print_table
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.lookup import find_certificate, list_certificates, read_certificate
from kspsign.keys.keylocker.options import KeyLockerOptions
from kspsign.keys.keylocker.store import chain_of
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import iso_utc
from kspsign.publishing.sanitize import log_line

_TITLES: Final = ("ID", "ALIAS", "KEYPAIR", "STATUS", "VALID UNTIL", "THUMBPRINT")
_RESERVED: Final = frozenset('/\\:*?"<>|\0')


def certificate_ls(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Print the certificates of the account's key pairs."""
    with service(environment, given.text("account-id")) as (client, options):
        listed = list_certificates(client, options)
    rows = [
        (
            entry.record.id,
            entry.record.alias or "",
            entry.keypair.alias or entry.keypair.id,
            (entry.record.certificate_status or "").upper(),
            iso_utc(entry.parsed.not_valid_after_utc),
            entry.thumbprint,
        )
        for entry in listed
    ]
    print_table(_TITLES, rows, out)
    return 0


def download(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Save the certificate that an id, --keypair-alias or --keypair-id names. A file of that name is replaced."""
    names = [*given.arguments, *filter(None, (given.text("keypair-alias"), given.text("keypair-id")))]
    if len(names) != 1:
        raise ConfigurationError(
            f"{len(names)} certificates are named, not one",
            remedy="Name one: its id, or the key pair with --keypair-alias or --keypair-id.",
        )
    with service(environment, given.text("account-id")) as (client, options):
        alias, chain = _named(client, options, names[0])
    format_ = (given.text("format") or "pem").lower()
    target = Path(given.text("out") or ".") / _file_name(given.text("name") or alias, format_)
    try:
        write_atomically(target, (_content(given, chain, format_),))
    except OSError as refused:
        raise ConfigurationError(
            f"can't write: {refused.strerror or refused}", remedy="Name a folder with --out.", file=str(target)
        ) from refused
    out.write(f"Certificate saved to: {log_line(str(target))}\n")
    return 0


def _named(client: KeyLockerClient, options: KeyLockerOptions, name: str) -> tuple[str, tuple[bytes, ...]]:
    chosen, _ = find_certificate(client, options.model_copy(update={"keypair_alias": name}))
    record = read_certificate(client, chosen.record.id)
    return record.alias or record.id, chain_of(record)


def _file_name(name: str, format_: str) -> str:
    if name in {"", ".", ".."} or _RESERVED.intersection(name):
        raise ConfigurationError(
            "the name of the certificate can't be the name of a file", remedy="Name the file with --name."
        )
    return name if Path(name).suffix else f"{name}.{'der' if format_ == 'der' else 'pem'}"


def _content(given: ParsedFlags, chain: Sequence[bytes], format_: str) -> bytes:
    wanted = chain if given.is_on("chain") else chain[:1]
    if given.is_on("issuer-first"):
        wanted = tuple(reversed(wanted))
    if format_ == "der":
        if len(wanted) > 1:
            raise ConfigurationError("a DER file holds one certificate", remedy="Choose --format pem for the chain.")
        return wanted[0]
    return b"".join(parse_certificate(der).public_bytes(Encoding.PEM) for der in wanted)
