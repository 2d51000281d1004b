"""Google's sign-in: OAuth's token endpoint (JWT bearer), STS, impersonation (IAM credentials), a machine's metadata."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from support.google.world import ACCOUNT, KEY_ID, PROJECT, PROVIDER, GoogleWorld
from support.key_vault.answers import Request, Response

_SCOPES = {"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloudkms"}
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
OAUTH, STS = "/token", "/v1/token"
IMPERSONATION = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"


def oauth(world: GoogleWorld, request: Request) -> Response:
    """https://developers.google.com/identity/protocols/oauth2/service-account#httprest"""
    form = _form(request)
    if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
        return _refused(400, "unsupported_grant_type", "Invalid grant_type")
    try:
        claims = _claims(world, form.get("assertion", ""))
    except (ValueError, KeyError, InvalidSignature):
        return _refused(400, "invalid_grant", "Invalid JWT Signature.")
    now = time.time()
    if not (claims.get("iat", 0) - 60 <= now < claims.get("exp", 0) <= claims.get("iat", 0) + 3600):
        return _refused(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")  # fmt: skip  # noqa: E501
    if claims.get("aud") != "https://oauth2.googleapis.com/token" or claims.get("iss") != ACCOUNT:
        return _refused(400, "invalid_grant", "Invalid JWT: Failed audience check.")
    if not set(str(claims.get("scope")).split()) & _SCOPES:
        return _refused(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    with world.lock:
        return _token(world, ACCOUNT)


def sts(world: GoogleWorld, request: Request) -> Response:
    """https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token"""
    form = _form(request)
    wanted = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    for name, value in wanted.items():
        if form.get(name) != value:
            return _refused(400, "invalid_request", f'Invalid value for "{name}": {form.get(name)}')
    if form.get("subject_token") not in world.oidc_tokens:
        return _refused(400, "invalid_grant", "The audience in ID Token does not match the expected audience.")
    with world.lock:
        return _token(world, "federated", issued_token_type=wanted["requested_token_type"])


def impersonate(world: GoogleWorld, request: Request) -> Response:
    """https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken"""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if world.tokens.get(token) != "federated" or not world.may_impersonate:
        message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
        content = {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}
        return Response(403, content)
    try:
        if not set(json.loads(request.body)["scope"]) & _SCOPES:
            return Response(400, {"error": {"code": 400, "message": "scope", "status": "INVALID_ARGUMENT"}})
    except (ValueError, KeyError, TypeError):
        return Response(400, {"error": {"code": 400, "message": "body", "status": "INVALID_ARGUMENT"}})
    with world.lock:
        made = world.token(ACCOUNT)
    end = datetime.fromtimestamp(world.ends[made], UTC)
    return Response(200, {"accessToken": made, "expireTime": f"{end:%Y-%m-%dT%H:%M:%SZ}"})


def metadata(world: GoogleWorld, request: Request) -> Response:
    """https://cloud.google.com/compute/docs/metadata/querying-metadata"""
    flavor = {"Metadata-Flavor": "Google"}
    if request.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in request.headers:
        return Response(403, b"Missing Metadata-Flavor:Google header.", flavor)
    place, account = "/computeMetadata/v1/", METADATA.removesuffix("/token")
    texts = {"/": "computeMetadata/", f"{place}project/project-id": PROJECT, f"{account}/email": ACCOUNT}
    texts[f"{place}universe/universe-domain"] = "googleapis.com"
    if request.path in texts:
        return Response(200, texts[request.path].encode(), {**flavor, "Content-Type": "application/text"})
    if request.path.rstrip("/") == account:
        return Response(200, {"aliases": ["default"], "email": ACCOUNT, "scopes": sorted(_SCOPES)}, flavor)
    if request.path not in {METADATA, METADATA.replace("/default/", f"/{ACCOUNT}/")}:
        return Response(404, b"", flavor)
    with world.lock:
        answer = _token(world, "machine")
    return Response(200, answer.content, flavor)


def _claims(world: GoogleWorld, assertion: str) -> dict[str, Any]:
    head, body, signature = assertion.split(".")
    header = json.loads(_decoded(head))
    if world.account_key is None or (header["alg"], header.get("kid")) != ("RS256", KEY_ID):
        raise ValueError("another key")
    world.account_key.verify(_decoded(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
    return dict(json.loads(_decoded(body)))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _form(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def _token(world: GoogleWorld, who: str, **more: str) -> Response:
    made = world.token(who)
    return Response(200, {"access_token": made, "expires_in": world.life, "token_type": "Bearer", **more})


def _refused(status: int, error: str, description: str) -> Response:
    return Response(status, {"error": error, "error_description": description})
