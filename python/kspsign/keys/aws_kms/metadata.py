"""Credentials that the machine itself has: of the container (ECS, EKS, Cloud Shell), or of the EC2 instance (IMDSv2).

Both are link-local or loopback addresses, asked past any proxy, as AWS's own clients do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from kspsign.keys.aws_kms.sigv4 import AwsKeys
from kspsign.keys.machine_lookup import MachineLookup
from kspsign.keys.rest import checked_endpoint, is_header_token, one_line
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.network.exchange import HttpAnswer

Found = tuple[str, Callable[[], tuple[AwsKeys, datetime | None]]]
_ECS: Final = "http://169.254.170.2"
_IMDS: Final = "http://169.254.169.254"
_CONTAINER_HOSTS: Final = frozenset(
    {"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "127.0.0.1", "localhost", "::1"}
)
"""Where credentials may be asked for without TLS: ECS, EKS Pod Identity, this machine."""
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_SESSION_SECONDS: Final = "21600"


def container(given: Mapping[str, str], lookup: MachineLookup) -> Found | None:
    """The container's own credential; None outside one. Raises ConfigurationError for a URL that gets no token."""
    relative, full = (given.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("RELATIVE", "FULL"))
    if not (relative or full):
        return None
    url = f"{_ECS}/{relative.lstrip('/')}" if relative else str(full)
    parts = urlsplit(url)
    if "@" in parts.netloc or (parts.scheme != "https" and parts.hostname not in _CONTAINER_HOSTS):
        raise ConfigurationError(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {parts.scheme}://{parts.hostname}, which is asked for no "
            "credential",
            remedy="It must begin with https://, or be an address of ECS, EKS or this machine.",
        )
    who = f"the container's credential at {parts.hostname}"

    def get() -> tuple[AwsKeys, datetime | None]:
        token = _container_token(given)
        headers = {"Authorization": token} if token else {}
        return _credential(_text(lookup.ask("GET", url, {"Accept": "application/json", **headers}, who, (token,))), who)

    return who, get


def instance(given: Mapping[str, str], lookup: MachineLookup) -> Found:
    """The role of the EC2 instance, by IMDSv2: a session token first, then the role's name, then its credential."""
    own = given.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    base = _metadata_service(own) if own else _IMDS
    who = "the instance's role (EC2 metadata service)"

    def get() -> tuple[AwsKeys, datetime | None]:
        session = {"X-aws-ec2-metadata-token-ttl-seconds": _SESSION_SECONDS}
        token = _text(lookup.ask("PUT", f"{base}/latest/api/token", session, who))
        if not is_header_token(token):
            raise no_credential(who, "what answers is not the metadata service: it gave no session token")
        headers = {"X-aws-ec2-metadata-token": token}
        role = _text(lookup.ask("GET", f"{base}{_ROLES}", headers, who, (token,))).split("\n")[0].strip()
        return _credential(_text(lookup.ask("GET", f"{base}{_ROLES}{quote(role)}", headers, who, (token,))), who)

    return who, get


def _text(answer: HttpAnswer) -> str:
    return answer.body.decode("utf-8", "replace").strip()


def _metadata_service(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname in {"169.254.169.254", "fd00:ec2::254"} and "@" not in parts.netloc:
        return url.rstrip("/")
    return checked_endpoint(url, "AWS_EC2_METADATA_SERVICE_ENDPOINT")


def _container_token(given: Mapping[str, str]) -> str:
    """The value of Authorization; a file is read each time."""
    file = given.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = given.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if file:
        try:
            token = Path(file).read_text("utf-8").strip()
        except (OSError, ValueError) as unreadable:
            raise no_credential(f"the token in {file}", str(unreadable)) from unreadable
    if token and not (token.isascii() and token.isprintable()):
        raise no_credential("the container's token", "it holds line breaks or characters that no token has")
    return token


def _credential(text: str, who: str) -> tuple[AwsKeys, datetime | None]:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as broken:
        raise no_credential(who, "it is not JSON") from broken
    values = content if isinstance(content, dict) else {}
    parts = [values.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token")]
    if not all(isinstance(part, str) and is_header_token(part) for part in parts):
        said = one_line(str(values.get("message") or values.get("Message") or values.get("Code") or "it holds no key"))
        raise no_credential(who, said)
    end = values.get("Expiration")
    try:
        moment = None if end is None else datetime.fromisoformat(str(end))
    except ValueError as broken:
        raise no_credential(who, "its end is not a date") from broken
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return AwsKeys(*map(str, parts)), moment


def no_credential(who: str, detail: str) -> PrerequisiteError:
    """The error where there is no credential from `who`, and why."""
    return PrerequisiteError(
        f"there is no credential for AWS from {who}: {detail}",
        code="AWS_SIGN_IN",
        remedy="Map AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the step, name a role that trusts the pipeline "
        "with --aws-role-arn, or give the agent's machine a role.",
    )
