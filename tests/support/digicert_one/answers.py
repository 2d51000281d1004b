"""What the service makes of one request: strict about path, method, query, headers and body."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from support.digicert_one import wire
from support.digicert_one.world import HASHES, Keypair, User, World

PREFIX = "/signingmanager/api/v1/"
MFA = "User is not multi-factor authenticated. Missing Client Authentication Certificate."
_FILTERS = {"certificates": {"id", "alias", "certificate_status", "account_id"}, "keypairs": {"id", "alias"}}
_SIG_ALG = re.compile(r"(SHA(?:256|384|512))WITH(RSA|ECDSA)")


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names are in lower case, `client` is the client certificate's name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    client: str | None
    connection: int

    @property
    def path(self) -> str:
        return re.sub("/{2,}", "/", urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Response:
    status: int
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


class Refused(Exception):  # noqa: N818 - it is an answer
    def __init__(self, status: int, content: Any) -> None:
        super().__init__(status)
        self.response = Response(status, content)


def answer(request: Request, world: World, *, only_ids: bool) -> Response:
    """The service's answer; `only_ids` has it answer a signature's id alone."""
    try:
        return Response(200, _routed(request, world, only_ids=only_ids))
    except Refused as refused:
        return refused.response


def _routed(request: Request, world: World, *, only_ids: bool) -> wire.Json:
    user = _user(request, world)
    if not request.path.startswith(PREFIX):
        raise _no_path()
    parts = request.path.removeprefix(PREFIX).split("/")
    if request.method == "POST" and len(parts) == 3 and parts[0] == "keypairs" and parts[2] == "sign":
        return _sign(request, world, user, parts[1], only_ids=only_ids)
    if request.method != "GET":
        phrase = HTTPStatus.METHOD_NOT_ALLOWED.phrase
        raise Refused(405, wire.framework_error(405, phrase, request.path))
    if request.body:
        raise _invalid("a GET has no body")
    return _get(request, world, user, parts)


def _user(request: Request, world: World) -> User:
    if request.headers.get("x-api-key") != world.user.api_key:
        raise Refused(401, wire.error("invalid_api_key", "The API key is not valid."))
    if request.client is None:
        raise Refused(403, wire.error("access_denied", MFA))
    if request.client != world.user.name:
        raise Refused(403, wire.error("access_denied", "The client certificate is another user's."))
    return world.user


def _get(request: Request, world: World, user: User, parts: list[str]) -> wire.Json:
    kind, *rest = parts
    if kind == "signatures" and len(rest) == 1:
        value = world.signatures.get(rest[0])
        if value is None:
            raise Refused(404, wire.error("resource_not_found", "signature not found"))
        return {"id": rest[0], "signature": b64encode(value).decode()}
    if kind not in _FILTERS or len(rest) > 1:
        raise _no_path()
    items = [wire.certificate(certificate) for certificate in world.certificates]
    if kind == "keypairs":
        items = [wire.keypair(keypair, user, world) for keypair in world.keypairs]
    if rest:
        found = next((item for item in items if item["id"] == rest[0]), None)
        if found is None:
            raise Refused(404, wire.error("resource_not_found", f"{kind.removesuffix('s')} not found"))
        return found
    return _page(request.query, items, _FILTERS[kind])


def _page(query: dict[str, str], items: list[wire.Json], filters: set[str]) -> wire.Json:
    unknown = set(query) - filters - {"limit", "offset"}
    if unknown:
        raise _invalid(f"unknown parameter {', '.join(sorted(unknown))}")
    limit, offset = query.pop("limit", "20"), query.pop("offset", "0")
    if not limit.isdigit() or not offset.isdigit() or not 1 <= int(limit) <= 1000:
        raise _invalid("limit or offset is out of range")
    account = query.pop("account_id", None)
    chosen = [item for item in items if all(item[name] == value for name, value in query.items())]
    chosen = [item for item in chosen if account in {None, item["account"]["id"]}]
    return wire.page(chosen, int(offset), int(limit))


def _sign(request: Request, world: World, user: User, identifier: str, *, only_ids: bool) -> wire.Json:
    keypair = next((keypair for keypair in world.keypairs if keypair.id == identifier), None)
    if keypair is None:
        raise Refused(404, wire.error("resource_not_found", "keypair not found"))
    hash_name, digest = _digest(request, keypair)
    if keypair.team:
        text = "You cannot access this keypair. This keypair is restricted to a team that you are not a member of."
        raise Refused(403, wire.error("access_denied", text))
    if not keypair.may_sign(user):
        raise Refused(403, wire.error("access_denied", "User is not the signer"))
    if keypair.status != "ONLINE":
        raise Refused(403, wire.error("access_denied", "The keypair is OFFLINE"))
    made = world.sign(keypair, hash_name, digest)
    if made is None:
        raise Refused(403, wire.error("access_denied", "Signature quota exceeded for this certificate"))
    return {"id": made} if only_ids else {"id": made, "signature": b64encode(world.signatures[made]).decode()}


def _digest(request: Request, keypair: Keypair) -> tuple[str, bytes]:
    """The hash's name and value in the body: exactly the known fields, the right key type and length."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        phrase = HTTPStatus.UNSUPPORTED_MEDIA_TYPE.phrase
        raise Refused(415, wire.framework_error(415, phrase, request.path))
    try:
        body = json.loads(request.body)
        digest = b64decode(body["hash"], validate=True)
        found = _SIG_ALG.fullmatch(body["sig_alg"].upper())
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _invalid("the body is not a signature request") from None
    if set(body) - {"account", "sig_alg", "hash"}:
        raise _invalid("unknown field")
    if body.get("account", {}).get("id", keypair.account.id) != keypair.account.id:
        raise Refused(403, wire.error("access_denied", "the keypair belongs to another account"))
    kind = "RSA" if isinstance(keypair.key, rsa.RSAPrivateKey) else "ECDSA"
    if found is None or found[2] != kind:
        raise _invalid("sig_alg does not fit the keypair")
    if len(digest) != HASHES[found[1]].digest_size:
        raise _invalid("hash does not fit sig_alg")
    return found[1], digest


def _no_path() -> Refused:
    return Refused(404, wire.gateway_error("INTERNAL_SERVER_ERROR", "Path not found"))


def _invalid(message: str) -> Refused:
    return Refused(400, wire.error("invalid_input_field", message))
