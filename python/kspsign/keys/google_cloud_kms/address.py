"""Where a key of Google Cloud KMS is: the resource name of a key or of one version of it, and the host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kspsign.keys.google_cloud_kms.options import GoogleKmsOptions
from kspsign.keys.rest import checked_endpoint
from kspsign.model.errors import ConfigurationError

_PART = r"[A-Za-z0-9:._-]{1,120}"
_NAME: Final = re.compile(
    rf"(?P<key>projects/{_PART}/locations/{_PART}/keyRings/{_PART}/cryptoKeys/{_PART})"
    r"(?:/cryptoKeyVersions/(?P<version>\d{1,18}))?",
    re.ASCII,
)
_PREFIXES: Final = ("//cloudkms.googleapis.com/", "gcpkms://", "https://cloudkms.googleapis.com/v1/")
PUBLIC: Final = "https://cloudkms.googleapis.com"


@dataclass(frozen=True, slots=True)
class KeyName:
    """`key` is the resource name of the key, `version` its number where one is named; `endpoint` has no slash."""

    key: str
    version: str | None
    endpoint: str

    @property
    def resource(self) -> str:
        """The resource name as it was given."""
        return self.key if self.version is None else f"{self.key}/cryptoKeyVersions/{self.version}"


def find_key_name(options: GoogleKmsOptions, name: str | None = None) -> KeyName:
    """The key `name`, None: the one that the options name. Raises ConfigurationError when it is missing or wrong."""
    given = name or options.kms_key
    if given is None:
        raise ConfigurationError(
            "key store google-cloud-kms needs the key",
            remedy="Give its resource name with --kms-key: "
            "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY[/cryptoKeyVersions/N].",
        )
    bare = next((given.removeprefix(prefix) for prefix in _PREFIXES if given.startswith(prefix)), given)
    found = _NAME.fullmatch(bare)
    if found is None:
        raise ConfigurationError(
            f"{given!r} is not a key of Google Cloud KMS",
            remedy="Copy its resource name from the console: "
            "projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY[/cryptoKeyVersions/N].",
        )
    own = options.kms_endpoint
    return KeyName(found["key"], found["version"], checked_endpoint(own, "--kms-endpoint") if own else PUBLIC)
