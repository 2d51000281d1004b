"""What the services make of one request: Key Vault and Managed HSM, Entra, and Azure Pipelines' OIDC endpoint."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.key_vault import wire
from support.key_vault.assertion import is_signed_by
from support.key_vault.machine import identity
from support.key_vault.world import (
    ACCESS_TOKEN,
    CLIENT,
    CLIENT_SECRET,
    CONNECTION,
    JOB_TOKEN,
    TENANT,
    Version,
    World,
    url64,
)

LOGIN, PIPELINES, MACHINE = "login.microsoftonline.com", "dev.azure.com", "127.0.0.1"
GITHUB = "pipelines.actions.githubusercontent.com"
SOVEREIGN_LOGIN = "login.chinacloudapi.cn"
RESOURCES = {
    "vault.azure.net": "https://vault.azure.net",
    "managedhsm.azure.net": "https://managedhsm.azure.net",
    "vault.azure.cn": "https://vault.azure.cn",
    "privatelink.vaultcore.azure.net": "https://vault.azure.net",
}
DIGEST_SIZES = {"256": 32, "384": 48, "512": 64}


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names are in lower case."""

    method: str
    host: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass(frozen=True)
class Response:
    """Status, JSON or bytes, and further headers."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def answer(world: World, request: Request) -> Response:
    """The answer of whichever service the host name belongs to."""
    if request.host in {LOGIN, SOVEREIGN_LOGIN}:
        return _entra(world, request)
    if request.host == PIPELINES:
        return _pipelines(world, request)
    if request.host == GITHUB:
        return _github(world, request)
    if request.host == MACHINE and request.method == "GET":
        return Response(*identity(world, request.path, request.query, request.headers))
    domain = request.host.partition(".")[2]
    if domain in RESOURCES and request.host in world.vaults:
        return _vault(world, request, RESOURCES[domain])
    content = world.files.get(f"http://{request.host}{request.target}")
    return Response(404, b"") if content is None else Response(200, content)


def error(status: int, code: str, message: str) -> Response:
    """An error as Key Vault words it."""
    return Response(status, {"error": {"code": code, "message": message}})


def forbidden(code: str, message: str) -> Response:
    """A 403 with the service's sub-code."""
    content = error(403, "Forbidden", message).content["error"]
    return Response(403, {"error": {**content, "innererror": {"code": code}}})


def _entra(world: World, request: Request) -> Response:
    base = f"https://{request.host}/{TENANT}"
    if request.path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
        endpoints = {"token_endpoint": f"{base}/oauth2/v2.0/token", "issuer": f"{base}/v2.0"}
        return Response(200, {**endpoints, "authorization_endpoint": f"{base}/oauth2/v2.0/authorize"})
    if request.path == "/common/discovery/instance":  # asked after a refusal: which names the authority goes by
        aliases = {"preferred_network": request.host, "preferred_cache": request.host, "aliases": [request.host]}
        endpoint = f"{base}/v2.0/.well-known/openid-configuration"
        return Response(200, {"tenant_discovery_endpoint": endpoint, "metadata": [aliases]})
    if request.method != "POST" or request.path not in {f"/{TENANT}/oauth2/v2.0/token", f"/{TENANT}/oauth2/token"}:
        return Response(404, {"error": "not_found", "error_description": request.target})
    return _token(world, request)


def _token(world: World, request: Request) -> Response:
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    scopes = form.get("scope", f"{form.get('resource', '')}/.default").split()  # the first version has a resource
    scope = next((word for word in scopes if word.endswith("/.default") and word != "/.default"), "")
    if form.get("grant_type") != "client_credentials" or form.get("client_id") != CLIENT or not scope:
        return _denied("invalid_request", "AADSTS900144: The request body is not as it should be.")
    if "client_assertion" in form:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        told = form["client_assertion"]
        audience = f"https://{request.host}{request.path}"
        trusted = told in world.oidc_tokens or is_signed_by(told, world.certificates, CLIENT, audience)
        if form.get("client_assertion_type") != kind or not trusted:
            return _denied("invalid_client", "AADSTS700213: No matching federated identity record found.")
    elif form.get("client_secret") != CLIENT_SECRET:
        return _denied("invalid_client", "AADSTS7000215: Invalid client secret provided.")
    token = f"entra-token-{secrets.token_hex(16)}"
    world.tokens[token] = scope.removesuffix("/.default")
    end = {"expires_on": str(int(time.time()) + 3599), "resource": world.tokens[token]} if "resource" in form else {}
    made = {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token, **end}
    return Response(200, made)


def _denied(code: str, description: str) -> Response:
    return Response(401, {"error": code, "error_description": description, "error_codes": [700213]})


def _pipelines(world: World, request: Request) -> Response:
    wanted = {"api-version": ["7.1"], "serviceConnectionId": [CONNECTION]}
    if request.method != "POST" or not request.path.endswith("/oidctoken") or request.query != wanted:
        return Response(404, {"message": "no such plan, job or service connection"})
    if request.headers.get("authorization") != f"Bearer {ACCESS_TOKEN}":
        return Response(302 if "x-tfs-fedauthredirect" not in request.headers else 401, {"message": "sign in"})
    now = int(time.time())
    claims = {
        "aud": "api://AzureADTokenExchange",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": secrets.token_hex(8),
    }
    token = f"{url64(b'{}')}.{url64(json.dumps(claims).encode())}.{url64(secrets.token_bytes(32))}"
    world.oidc_tokens.add(token)
    return Response(200, {"oidcToken": token})


def _github(world: World, request: Request) -> Response:
    """The token of a job (GitHub's pages on OpenID Connect)."""
    if request.headers.get("authorization") != f"Bearer {JOB_TOKEN}":
        return Response(401, {"message": "Unauthorized"})
    if request.method != "GET" or not request.path.endswith("/idtoken") or "api-version" not in request.query:
        return Response(404, {"message": "Not Found"})
    token = f"{url64(b'{}')}.{url64(json.dumps({'iss': f'https://{GITHUB}'}).encode())}.{secrets.token_hex(32)}"
    if request.query.get("audience") == [world.audience]:
        world.oidc_tokens.add(token)
    return Response(200, {"count": len(token), "value": token})


def _vault(world: World, request: Request, resource: str) -> Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or world.tokens.get(token) != resource:
        login = SOVEREIGN_LOGIN if resource.endswith(".cn") else LOGIN
        challenge = f'Bearer authorization="https://{login}/{TENANT}", resource="{resource}"'
        refused = error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        return Response(401, refused.content, {"WWW-Authenticate": challenge})
    versions = request.query.get("api-version", [])
    if len(versions) != 1 or not re.fullmatch(r"7\.[0-9]|20[0-9]{2}-[0-9]{2}-[0-9]{2}", versions[0]):
        return error(400, "BadParameter", "The request must have one api-version.")
    path = re.fullmatch(
        r"/(keys|certificates|secrets)(?:/([0-9A-Za-z-]+)(?:/(\w+))?(?:/(sign|verify))?)?", request.path.rstrip("/")
    )
    if path is None or (path[1] != "keys" and "managedhsm" in request.host):
        return error(400, "BadParameter", f"{request.target} is nothing of this service.")
    operation = path[4] or ("list" if path[2] is None or path[3] == "versions" else "get")
    no_access = _no_access(world, path[1], operation)
    if no_access is not None:
        return no_access
    if (request.method == "POST") != (operation in {"sign", "verify"}):
        return error(405, "MethodNotAllowed", request.method)
    return _found(world, request, path)


def _no_access(world: World, kind: str, operation: str) -> Response | None:
    if world.firewall:
        return forbidden("ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.")
    if f"{kind}/{operation}" not in world.permissions:
        return forbidden("ForbiddenByPolicy", f"The application does not have {kind} {operation} permission.")
    return None


def _not_allowed(kind: str, operation: str | None, version: Version) -> Response | None:
    """What the version's own attributes forbid."""
    if not version.enabled and kind != "certificates":
        inner = f"{kind.capitalize()[:-1]}Disabled"
        return forbidden(inner, f"Operation {operation or 'get'} is not allowed on a disabled {kind[:-1]}.")
    if operation == "sign" and version.expired:
        return forbidden("KeyExpired", "Operation sign is not allowed on an expired key.")
    if operation == "sign" and "sign" not in version.operations:
        return forbidden("KeyOperationForbidden", "Operation sign is not permitted on this key.")
    return None


def _found(world: World, request: Request, path: re.Match[str]) -> Response:
    base, (kind, name, version, operation) = f"https://{request.host}", path.groups()
    if name is None:
        names = [key for key, held in world.vaults[request.host].items() if kind == "keys" or held[-1].certificate]
        return Response(200, {"value": [_listed(world, request, kind, key) for key in names], "nextLink": None})
    held = world.vaults[request.host].get(name, [])
    found = [candidate for candidate in held if kind == "keys" or candidate.certificate is not None]
    unknown = error(404, f"{kind.capitalize()[:-1]}NotFound", f"A {kind[:-1]} with (name/id) {name} was not found.")
    if not found:
        return unknown
    if version == "versions":
        return Response(
            200, {"value": [wire.item(base, kind, name, candidate) for candidate in found], "nextLink": None}
        )
    if kind == "certificates" and version == "policy":
        return Response(200, wire.policy(base, name, found[-1]))
    chosen = next((candidate for candidate in reversed(found) if version in {None, candidate.version}), None)
    if chosen is None:
        return unknown
    return _not_allowed(kind, operation, chosen) or _content(world, base, kind, name, chosen, request)


def _content(world: World, base: str, kind: str, name: str, version: Version, request: Request) -> Response:
    address = f"{name}/{version.version}"
    if request.method == "POST":
        return _operated(world, f"{base}/keys/{address}", version, request)
    attributes = wire.attributes(version)
    if kind == "keys":
        return Response(200, {"key": version.jwk(f"{base}/keys/{address}"), "attributes": attributes})
    if kind == "secrets":
        assert not version.exportable, "the secret with the private key in it was asked for"
        value = version.pem_chain()
        identifier = f"{base}/secrets/{address}"
        content_type = "application/x-pem-file"
        return Response(200, {"value": value, "contentType": content_type, "id": identifier, "attributes": attributes})
    identifiers = {"kid": f"{base}/keys/{address}", "sid": f"{base}/secrets/{address}"}
    policy = {"policy": wire.policy(base, name, version)}
    item = wire.item(base, kind, name, version)
    if version.pending:
        return Response(200, {**item, **policy, "pending": {"id": f"{base}/certificates/{name}/pending"}})
    cer = base64.b64encode(wire.der(version)).decode()
    return Response(200, {**item, **identifiers, **policy, "cer": cer})


def _operated(world: World, identifier: str, version: Version, request: Request) -> Response:
    """sign, or verify, with base64url with or without padding, as the service takes it."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return error(415, "UnsupportedMediaType", "application/json is asked for.")
    verifying = request.path.rstrip("/").endswith("/verify")
    read = _operands(json.loads(request.body), version, verifying=verifying)
    if isinstance(read, Response):
        return read
    algorithm, digest, value = read
    if verifying:
        return Response(200, {"value": version.verifies(algorithm, digest, value)})
    world.signed.append(digest.hex())
    signer = version if world.wrong_key is None else Version(world.wrong_key)
    return Response(200, {"kid": identifier, "value": url64(signer.sign(algorithm, digest))})


def _operands(body: Any, version: Version, *, verifying: bool) -> tuple[str, bytes, bytes] | Response:
    """Algorithm, digest, and the signature to verify; or the refusal."""
    fields = {"alg", "value"} | ({"digest"} if verifying else set())
    if set(body) != fields or not all(isinstance(value, str) for value in body.values()):
        return error(400, "BadParameter", f"The body is {', '.join(sorted(fields))}.")
    try:
        value, digest = (wire.bytes64(body[name]) for name in ("value", "digest" if verifying else "value"))
    except binascii.Error:
        return error(400, "BadParameter", "value is not base64url.")
    if body["alg"] not in version.algorithms():
        return error(400, "BadParameter", f"Key and signing algorithm are incompatible: {body['alg']}")
    if len(digest) != DIGEST_SIZES[body["alg"][2:]]:
        return error(400, "BadParameter", "Invalid length of 'value'.")
    return body["alg"], digest, value


def _listed(world: World, request: Request, kind: str, name: str) -> dict[str, Any]:
    """A key or certificate in the list of all: its newest version's facts, under the name without a version."""
    newest = world.vaults[request.host][name][-1]
    item = wire.item(f"https://{request.host}", kind, name, newest)
    identifier = "kid" if kind == "keys" else "id"
    return {**item, identifier: item[identifier].rpartition("/")[0]}
