"""The credential for AWS, found in the order of AWS's own clients: environment, web identity, container, instance.

A role that is named with --aws-role-arn comes first. What is temporary is asked for again shortly before its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from kspsign.keys.aws_kms.address import KeyAddress
from kspsign.keys.aws_kms.metadata import container, instance, no_credential
from kspsign.keys.aws_kms.options import AwsKmsOptions
from kspsign.keys.aws_kms.sigv4 import AwsKeys
from kspsign.keys.aws_kms.web_identity import Role, assume
from kspsign.keys.machine_lookup import MachineLookup
from kspsign.keys.pipeline_identity import pipeline_identity
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import is_header_token
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.network.pool import Pool

AUDIENCE: Final = "sts.amazonaws.com"
_RENEWED: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the credential comes from, in words, and what gets it: with its end, None where it has none."""

    who: str
    get: Callable[[], tuple[AwsKeys, datetime | None]] = field(repr=False)


class AwsCredential:
    """The keys of a source, asked for when needed; safe to share between threads."""

    def __init__(self, source: Source) -> None:
        self.who = source.who
        self._source = source
        self._lock = threading.Lock()
        self._keys: AwsKeys | None = None
        self._end: datetime | None = None

    def get(self) -> AwsKeys:
        """Keys that are valid now. Raises PrerequisiteError when the source gives none, CancelledError."""
        with self._lock:
            stale = self._end is not None and self._end - datetime.now(UTC) < _RENEWED
            if self._keys is None or stale:
                self._keys, self._end = self._source.get()
            return self._keys


def find_source(options: AwsKmsOptions, surroundings: Surroundings, address: KeyAddress, pool: Pool) -> Source:
    """The first source that is set up here; it asks through `pool`, except what is on this machine or link-local.

    Raises ConfigurationError when one is set up by half.
    """
    given = {name: value.get_secret_value() for name, value in surroundings.environment.items()}
    if options.aws_role_arn is not None:
        return _role(options.aws_role_arn, options, surroundings, address, pool)
    if given.get("AWS_ACCESS_KEY_ID") or given.get("AWS_SECRET_ACCESS_KEY"):
        return _environment(given)
    if given.get("AWS_ROLE_ARN"):
        return _role(given["AWS_ROLE_ARN"], options, surroundings, address, pool)
    if given.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        raise ConfigurationError(
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, and no role to assume with it",
            remedy="Name the role with --aws-role-arn or in AWS_ROLE_ARN.",
        )
    lookup = MachineLookup(surroundings.network, surroundings.cancelled.wait, no_credential)
    if found := container(given, lookup):
        return Source(*found)
    if given.get("AWS_EC2_METADATA_DISABLED", "").strip().lower() == "true":
        raise ConfigurationError(
            "there is no credential for AWS, and AWS_EC2_METADATA_DISABLED forbids to ask the instance",
            remedy="Map AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the step, or name a role with --aws-role-arn.",
        )
    return Source(*instance(given, lookup))


def _environment(given: dict[str, str]) -> Source:
    needed = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for name in needed:
        if not given.get(name):
            raise ConfigurationError(
                f"the sign-in to AWS needs {' and '.join(needed)}; {name} is not set",
                remedy=f"Map it into the step: env: {{ {name}: $(...) }}, or remove the other one.",
            )
    access_key, secret = (given[name].strip() for name in needed)
    session = given.get("AWS_SESSION_TOKEN", "").strip()
    for name, value in (*zip(needed, (access_key, secret), strict=True), ("AWS_SESSION_TOKEN", session)):
        if value and not is_header_token(value):
            raise ConfigurationError(
                f"{name} holds blanks, line breaks or other characters that no credential of AWS has",
                remedy=f"Set {name} again to the value alone, on one line.",
            )
    keys = AwsKeys(access_key, secret, session)
    kind = "temporary access key" if keys.token else "access key"
    return Source(f"{kind} {keys.access_key_id} of AWS_ACCESS_KEY_ID", lambda: (keys, None))


def _role(arn: str, options: AwsKmsOptions, surroundings: Surroundings, address: KeyAddress, pool: Pool) -> Source:
    given = {name: value.get_secret_value() for name, value in surroundings.environment.items()}
    role = Role.parse(arn, given.get("AWS_ROLE_SESSION_NAME"))
    file = given.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    vouched = None if file else pipeline_identity(options, surroundings, pool, AUDIENCE)
    token: Callable[[], str]
    if file:
        by, token = f"the token in {file}", partial(_read_token, Path(file))
    elif vouched is not None:
        by, token = f"the OIDC token of {vouched.who}", vouched.token
    else:
        raise ConfigurationError(
            f"there is no OIDC token to assume role {arn} with",
            remedy="In Azure Pipelines name a service connection with workload identity federation "
            "(--azure-connection-id) and map SYSTEM_ACCESSTOKEN; in GitHub Actions give the job `permissions: "
            "id-token: write`; elsewhere set AWS_WEB_IDENTITY_TOKEN_FILE.",
        )
    pause = surroundings.cancelled.wait
    return Source(f"role {arn} by {by}", lambda: assume(role, token(), address, pool, pause))


def _read_token(path: Path) -> str:
    """Read each time: whoever writes the file renews it."""
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, ValueError) as unreadable:
        raise PrerequisiteError(
            f"the web identity token {path} can't be read: {getattr(unreadable, 'strerror', None) or unreadable}",
            code="AWS_SIGN_IN",
            remedy="Correct AWS_WEB_IDENTITY_TOKEN_FILE.",
        ) from unreadable
    return text
