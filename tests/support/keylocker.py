"""Settings for a stand-in host, as the environment of a step would give them."""

from __future__ import annotations

from kspsign.keys.table import STORES
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve
from support.digicert_one.fixture import Host


def settings(host: Host, alias: str | None, **changed: str | None) -> Settings:
    """Key store keylocker with `alias`; `changed` credentials replace the right ones, None takes one away."""
    environment = {name: value for name, value in {**host.environment, **changed}.items() if value is not None}
    named: dict[str, object] = {} if alias is None else {"keypair_alias": alias}
    return resolve("sign", {"key_store": "keylocker", **named}, environment=environment, stores=STORES)


def settings_of(host: Host, **options: str) -> Settings:
    """Key store keylocker with these options and the right credentials."""
    return resolve("sign", {"key_store": "keylocker", **options}, environment=host.environment, stores=STORES)
