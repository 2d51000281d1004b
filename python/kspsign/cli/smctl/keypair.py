"""`smctl keypair ls`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TextIO

from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.session import service
from kspsign.cli.smctl.table import print_table
from kspsign.keys.keylocker.lookup import list_keypairs
from kspsign.keys.keylocker.records import KeypairRecord
from kspsign.model.errors import ConfigurationError

_TITLES: Final = ("ID", "TYPE", "ALIAS", "ALGORITHM", "STATUS", "TYPE", "STORAGE", "CERTIFICATE")
_FILTERS: Final = ("alias", "key_alg", "key_size", "curve", "key_status")


def keypair_ls(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Print the key pairs that the user may see, as `smctl keypair ls` does."""
    field, wanted = _filter(given.text("filter"))
    with service(environment, given.text("account-id")) as (client, options):
        pairs = [pair for pair in list_keypairs(client, options) if not field or _has(pair, field, wanted)]
    print_table(_TITLES, [_row(pair) for pair in pairs], out)
    return 0


def _filter(text: str | None) -> tuple[str, str]:
    """Field and value of --filter; ("", "") without it."""
    if text is None:
        return "", ""
    field, _, value = text.partition("=")
    if field not in _FILTERS or not value:
        raise ConfigurationError(
            "--filter is not FIELD=VALUE with a field that key pairs are found by",
            remedy=f"The fields are {', '.join(_FILTERS)}: --filter alias=release.",
        )
    return field, value


def _has(pair: KeypairRecord, field: str, wanted: str) -> bool:
    value = str(getattr(pair, field) or "")
    return value == wanted if field == "alias" else value.casefold() == wanted.casefold()


def _row(pair: KeypairRecord) -> tuple[str, ...]:
    size = str(pair.key_size) if pair.key_size else pair.curve or ""
    return (
        pair.id,
        pair.key_modal_type or "",
        pair.alias or "",
        " ".join(part for part in (pair.key_alg or "", size) if part),
        pair.key_status or "",
        pair.key_type or "",
        pair.key_storage or "",
        ", ".join(named.alias or named.id for named in pair.certificates or ()),
    )
