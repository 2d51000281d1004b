"""The metadata file of SignTool's dlib, which users of Artifact Signing already have, and the options besides it.

{"Endpoint": "https://weu.codesigning.azure.net", "CodeSigningAccountName": "contoso",
 "CertificateProfileName": "release", "CorrelationId": "...", "ExcludeCredentials": ["ManagedIdentityCredential"]}
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from kspsign.keys.azure_artifact_signing.identifier import ProfileAddress
from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_identity.credential import Excluded
from kspsign.keys.protocol import reference_part
from kspsign.model.errors import ConfigurationError

_KEYS: Final = ("Endpoint", "CodeSigningAccountName", "CertificateProfileName", "CorrelationId", "ExcludeCredentials")
CREDENTIALS: Final[Mapping[str, tuple[Excluded, ...]]] = {
    "EnvironmentCredential": ("client-secret", "client-certificate"),
    "WorkloadIdentityCredential": ("workload-identity",),
    "ManagedIdentityCredential": ("managed-identity",),
    "AzureCliCredential": ("cli",),
    **dict.fromkeys(
        (
            "SharedTokenCacheCredential",
            "VisualStudioCredential",
            "VisualStudioCodeCredential",
            "AzurePowerShellCredential",
            "AzureDeveloperCliCredential",
            "InteractiveBrowserCredential",
            "BrokerCredential",
        ),
        (),
    ),
}
"""What the dlib can leave out, and which of ours those are; none: it is never tried here."""
_BUILDS: Final = (("BUILD_DEFINITIONNAME", "BUILD_BUILDNUMBER"), ("GITHUB_WORKFLOW", "GITHUB_RUN_ID"))
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class SigningTarget:
    """The profile that signs, the id of this run in the account's log, and the credentials never to be tried."""

    profile: ProfileAddress
    correlation_id: str
    excluded: frozenset[Excluded]


def find_target(options: ArtifactSigningOptions, environment: Mapping[str, SecretStr]) -> SigningTarget:
    """What the options say, else the metadata file. Raises ConfigurationError when a part is missing or wrong."""
    file = options.signing_metadata
    content = {} if file is None else _read(file)
    given = {
        "--signing-endpoint": options.signing_endpoint or content.get("Endpoint"),
        "--signing-account": options.signing_account or content.get("CodeSigningAccountName"),
        "--certificate-profile": options.certificate_profile or content.get("CertificateProfileName"),
    }
    if lacking := [option for option, value in given.items() if not value]:
        raise ConfigurationError(
            f"key store azure-artifact-signing needs {', '.join(lacking)}",
            remedy="Give all three, or --signing-metadata FILE, which holds them.",
            file=None if file is None else str(file),
        )
    correlation_id = options.correlation_id or content.get("CorrelationId") or correlation_of(environment)
    return SigningTarget(
        ProfileAddress.parse(*map(str, given.values())),
        header_value(correlation_id),
        frozenset(own for name in content.get("ExcludeCredentials", ()) for own in CREDENTIALS[name]),
    )


def kept_target(
    reference: Mapping[str, str], options: ArtifactSigningOptions, environment: Mapping[str, SecretStr]
) -> SigningTarget:
    """What a stored key reference names. Raises PrerequisiteError, ConfigurationError when it is damaged."""
    address = ProfileAddress.parse(*(reference_part(reference, part) for part in ("endpoint", "account", "profile")))
    correlation_id = header_value(options.correlation_id or correlation_of(environment))
    return SigningTarget(address, correlation_id, frozenset())


def correlation_of(environment: Mapping[str, SecretStr]) -> str:
    """The build as DEFINITION/NUMBER; outside a pipeline an id of this run alone."""
    for names in _BUILDS:
        parts = [environment[name].get_secret_value() for name in names if name in environment]
        if len(parts) == len(names):
            return f"build {'/'.join(parts)}"
    return f"kspsign {uuid.uuid4()}"


def header_value(text: str) -> str:
    """`text` as an HTTP header can carry it (RFC 9110 §5.5): printable ASCII, not too long."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text.strip())[:_LONGEST]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as unreadable:
        raise _wrong(file, f"can't be read: {unreadable.strerror or unreadable}") from unreadable
    except (ValueError, RecursionError) as broken:
        raise _wrong(file, "is not JSON") from broken
    if not isinstance(content, dict):
        raise _wrong(file, "is not a JSON object")
    if unknown := sorted(set(content) - set(_KEYS)):
        raise _wrong(file, f"has unknown keys: {', '.join(unknown)}; known are {', '.join(_KEYS)}")
    for key in _KEYS[:4]:
        if not isinstance(content.get(key) or "", str):
            raise _wrong(file, f"has a value for {key} that is not a string")
    excluded = content.get("ExcludeCredentials") or []
    if not isinstance(excluded, list) or not all(isinstance(name, str) and name in CREDENTIALS for name in excluded):
        raise _wrong(file, f"has ExcludeCredentials that is not a list of {', '.join(CREDENTIALS)}")
    return {**content, "ExcludeCredentials": excluded}


def _wrong(file: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the metadata file {what}",
        remedy="Correct --signing-metadata: the JSON file that SignTool's /dmdf names, with Endpoint, "
        "CodeSigningAccountName and CertificateProfileName.",
        file=str(file),
    )
