"""The groups that --help lists the settings of a run in, in the order of what users decide first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "files": ("files", "folder", "slice"),
    "key and certificate": ("key_store", "thumbprint", "engine", "store"),
    "signature": (
        "digest",
        "description",
        "description_url",
        "page_hashes",
        "crlf",
        "append",
        "replace",
        "skip_signed",
        "inside",
    ),
    "catalogue": ("hardware_id", "os_attribute"),
    "timestamp": ("timestamp_url", "no_timestamp", "timestamp_mode", "timestamp_jobs", "timestamp_limit"),
    "verification": ("trust_root", "policy", "provenance", "catalog", "revocation", "signtool_verify"),
    "signatures apart from their files": ("output", "pem", "signature", "document", "signer"),
    "limits": (
        "dry_run",
        "max_signatures",
        "max_signatures_per_month",
        "jobs",
        "fail_fast",
        "journal",
        "signature_cache",
        "ledger",
    ),
    "reports and log": ("report", "junit", "summary", "html", "vsa", "publish_token_env", "quiet", "verbose"),
    "programs and network": ("signtool", "smctl", "navsip", "tool_env", "ca_file", "shadow"),
}
"""Every setting of `Settings` is in one of them."""


_TITLES: Final[Mapping[str, str]] = {name: title for title, names in GROUPS.items() for name in names}


def group_of(name: str) -> str:
    """The title of the group that the setting is listed in."""
    return _TITLES.get(name, "other settings")
