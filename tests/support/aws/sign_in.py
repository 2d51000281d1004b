"""What gives credentials of AWS: STS (AssumeRole with and without web identity, GetCallerIdentity), a container, an EC2
instance."""

from __future__ import annotations

import json
import secrets
import uuid
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from support.aws.sigv4 import Refused, check
from support.aws.world import ACCOUNT, CONTAINER_TOKEN, INSTANCE_ROLE, ROLE, AwsWorld
from support.key_vault.answers import Request, Response

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
CONTAINER = "/v1/credentials"
GITHUB, GITHUB_TOKEN = "/github/token", "github-request-token-planted-20e7"
_IMDS = "/latest/meta-data/iam/security-credentials/"


def sts(world: AwsWorld, request: Request) -> Response:
    """The query protocol: a form in, XML out."""
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    if request.method != "POST" or request.path != "/" or form.get("Version") != "2011-06-15":
        return _error(400, "InvalidAction", "Could not find operation")
    with world.lock:
        if form.get("Action") == "AssumeRoleWithWebIdentity":
            return _assumed(world, form)
        if form.get("Action") not in {"GetCallerIdentity", "AssumeRole"}:
            return _error(400, "InvalidAction", f"Could not find operation {form.get('Action')}")
        try:
            principal = check(world, request, "sts").principal
        except Refused as refused:
            names = {"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken"}
            name = names.get(refused.name, refused.name.replace("InvalidSignatureException", "SignatureDoesNotMatch"))
            return _error(403, name, refused.message)
        if form["Action"] == "AssumeRole":
            return _given_role(world, "AssumeRole", form)
        who = f"<Arn>{principal}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account>"
        return _result("GetCallerIdentity", who)


def _assumed(world: AwsWorld, form: dict[str, str]) -> Response:
    token, role, session = (form.get(name, "") for name in ("WebIdentityToken", "RoleArn", "RoleSessionName"))
    if not (token and role and 2 <= len(session) <= 64):
        return _error(400, "ValidationError", "1 validation error detected")
    if token.startswith("expired"):
        return _error(400, "ExpiredTokenException", "Token expired: current date/time must be before the expiration")
    if token not in world.oidc_tokens:
        return _error(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account")
    return _given_role(world, "AssumeRoleWithWebIdentity", form)


def _given_role(world: AwsWorld, action: str, form: dict[str, str]) -> Response:
    role, session = form.get("RoleArn", ""), form.get("RoleSessionName", "")
    if role != ROLE or not world.trusts_role:
        return _error(403, "AccessDenied", f"Not authorized to perform sts:{action}")
    principal = f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{session}"
    access, key = world.session(principal)
    assert key.end is not None
    given = {"AccessKeyId": access, "SecretAccessKey": key.secret, "SessionToken": key.token}
    given["Expiration"] = f"{key.end:%Y-%m-%dT%H:%M:%SZ}"
    fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in given.items())
    user = f"<AssumedRoleUser><Arn>{principal}</Arn><AssumedRoleId>AROA:{session}</AssumedRoleId></AssumedRoleUser>"
    return _result(action, f"<Credentials>\n{fields}\n</Credentials>{user}")


def machine(world: AwsWorld, request: Request) -> Response:
    """A container's credential endpoint, an instance's metadata service (version 2 alone), and GitHub's tokens."""
    if request.path == GITHUB:
        return _github(world, request)
    if request.path == CONTAINER:
        if request.headers.get("authorization") != CONTAINER_TOKEN:
            return Response(401, {"code": "Unauthorized", "message": "the token is wrong"})
        return Response(200, _given(world, "assumed-role/task/container"))
    if request.path == "/latest/api/token":
        seconds = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if request.method != "PUT" or not seconds.isdigit() or "x-forwarded-for" in request.headers:
            return Response(400, b"")
        token = f"imds-token-{secrets.token_hex(16)}"
        world.imds_tokens.add(token)
        return Response(200, token.encode(), {"Content-Type": "text/plain"})
    return _metadata(world, request)


def _github(world: AwsWorld, request: Request) -> Response:
    """The token of a job, for an audience: https://docs.github.com/actions/reference/openid-connect-reference."""
    if request.headers.get("authorization") != f"Bearer {GITHUB_TOKEN}" or request.method != "GET":
        return Response(401, b"")
    audience = request.query.get("audience", [""])[0]
    token = f"github.{secrets.token_hex(16)}.{'aws' if audience == 'sts.amazonaws.com' else 'other'}"
    if audience == "sts.amazonaws.com":
        world.oidc_tokens.add(token)
    return Response(200, {"count": len(token), "value": token})


def _metadata(world: AwsWorld, request: Request) -> Response:
    if request.headers.get("x-aws-ec2-metadata-token") not in world.imds_tokens:
        return Response(401, b"")
    if request.path == _IMDS:
        return Response(200, INSTANCE_ROLE.encode(), {"Content-Type": "text/plain"})
    if request.path == _IMDS + INSTANCE_ROLE:
        given = {"Code": "Success", "Type": "AWS-HMAC", **_given(world, f"assumed-role/{INSTANCE_ROLE}/i-0abc")}
        return Response(200, json.dumps(given).encode(), {"Content-Type": "text/plain"})
    return Response(404, b"")


def _given(world: AwsWorld, principal: str) -> dict[str, str]:
    access, key = world.session(f"arn:aws:sts::{ACCOUNT}:{principal}")
    assert key.end is not None
    end = f"{key.end:%Y-%m-%dT%H:%M:%SZ}"
    return {"AccessKeyId": access, "SecretAccessKey": key.secret, "Token": key.token, "Expiration": end}


def _result(action: str, content: str) -> Response:
    request_id = str(uuid.uuid4())
    meta = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    result = f"<{action}Result>{content}</{action}Result>"
    text = f'<{action}Response xmlns="{_NAMESPACE}">{result}{meta}</{action}Response>'
    return Response(200, text.encode(), {"Content-Type": "text/xml", "x-amzn-RequestId": request_id})


def _error(status: int, code: str, message: str) -> Response:
    said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    text = f'<ErrorResponse xmlns="{_NAMESPACE}">{said}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>'
    return Response(status, text.encode(), {"Content-Type": "text/xml"})
