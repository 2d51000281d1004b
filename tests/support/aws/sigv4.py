"""Whether a request's Signature Version 4 holds, judged as the service does, and what it refuses otherwise.

Written from https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from support.aws.world import REGION, AccessKey, AwsWorld
from support.key_vault.answers import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_SKEW = timedelta(minutes=5)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


@dataclass
class Refused(Exception):  # noqa: N818 - what the service calls it
    """The exception's name and its message."""

    name: str
    message: str


def check(world: AwsWorld, request: Request, service: str) -> AccessKey:
    """The access key that signed the request. Raises Refused."""
    text = request.headers.get("authorization")
    if text is None:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(text)
    if found is None:
        raise Refused("IncompleteSignatureException", f"Authorization header requires all its parameters: {text[:40]}")
    key = world.access_keys.get(found["key"])
    token = request.headers.get("x-amz-security-token", "")
    if key is None or key.token != token:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    moment = request.headers.get("x-amz-date", "")
    _check_time(world, moment, found["day"])
    if found["region"] != REGION:
        raise Refused(
            "InvalidSignatureException", f"Credential should be scoped to a valid region, not '{found['region']}'."
        )
    if found["service"] != service:
        raise Refused("InvalidSignatureException", f"Credential should be scoped to correct service: '{service}'.")
    names = found["names"].split(";")
    needed = {"host", *(name for name in request.headers if name.startswith("x-amz-") or name == "content-type")}
    if names != sorted(set(names)) or not needed <= set(names) or not set(names) <= set(request.headers):
        raise Refused("InvalidSignatureException", f"These headers must be signed: {', '.join(sorted(needed))}")
    scope = f"{found['day']}/{found['region']}/{service}/aws4_request"
    if not hmac.compare_digest(_signature(request, names, moment, scope, key.secret), found["signature"]):
        raise Refused("InvalidSignatureException", _MISMATCH)
    if key.end is not None and key.end < world.now:
        raise Refused("ExpiredTokenException", "The security token included in the request is expired")
    return key


def _check_time(world: AwsWorld, moment: str, day: str) -> None:
    try:
        signed = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'.") from None
    if day != moment[:8]:
        raise Refused("InvalidSignatureException", f"Date in Credential scope does not match YYYYMMDD: {day}")
    now = world.now
    if signed < now - _SKEW:
        limit = f"{now - _SKEW:%Y%m%dT%H%M%SZ}"
        raise Refused("InvalidSignatureException", f"Signature expired: {moment} is now earlier than {limit}")
    if signed > now + _SKEW:
        limit = f"{now + _SKEW:%Y%m%dT%H%M%SZ}"
        raise Refused("InvalidSignatureException", f"Signature not yet current: {moment} is still later than {limit}")


def _signature(request: Request, names: list[str], moment: str, scope: str, secret: str) -> str:
    path, _, query = request.target.partition("?")
    canonical = [request.method, path or "/", "&".join(sorted(filter(None, query.split("&"))))]
    canonical += [f"{name}:{re.sub(' +', ' ', request.headers[name].strip())}" for name in names]
    canonical += ["", ";".join(names), hashlib.sha256(request.body).hexdigest()]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}".encode(), "sha256").hex()
