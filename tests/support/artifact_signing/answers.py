"""What the data plane makes of one request: versions 2022-06-15-preview, which clients speak, and 2023-06-15-preview.

POST {profile}/sign              {"signatureAlgorithm", "digest", "fileHashList"?, "authenticodeHashList"?}
POST {profile}:sign              the same, as published with the later version
GET  {profile}/sign/{operation}  the state
GET  {profile}/sign/certchain | rootcert | eku
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from typing import Any

from support.artifact_signing.world import (
    ACCOUNT,
    ALGORITHMS,
    HASHES,
    PROFILE,
    RESOURCE,
    Operation,
    SigningWorld,
    certificates_only,
)
from support.key_vault.answers import Request, Response

VERSIONS = {"2022-06-15-preview": False, "2023-06-15-preview": True}
"""Whether a version has the envelope of long-running operations."""
_PATH = re.compile(r"/codesigningaccounts/([^/]+)/certificateprofiles/([^/:]+)(?::sign|/sign)(?:/([0-9A-Za-z-]+))?")
CHAIN_TYPE = "application/pkcs7-mime"


def respond(world: SigningWorld, request: Request, *, endpoint: str) -> Response:
    """The answer of the account's region, whose address is `endpoint`."""
    with world.lock:
        answer = _checked(world, request, endpoint)
    given = request.headers.get("x-ms-client-request-id")
    ids = {"x-ms-request-id": str(uuid.uuid4())}
    if given is not None and request.headers.get("x-ms-return-client-request-id") == "true":
        ids["x-ms-client-request-id"] = given
    return Response(answer.status, answer.content, {**ids, **answer.headers})


def problem(status: int, errors: dict[str, list[str]]) -> Response:
    """Problem details of ASP.NET (RFC 9457)."""
    content = {"type": "about:blank", "title": "One or more validation errors occurred.", "status": status}
    return Response(status, {**content, "errors": errors}, {"Content-Type": "application/problem+json"})


def error_detail(status: int, code: str, message: str) -> Response:
    """The service's own shape."""
    return Response(status, {"errorDetail": {"code": code, "message": message, "target": None}})


def _refused(world: SigningWorld, request: Request) -> Response | None:
    """What becomes of a request whose token is not one for the service."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return Response(401, b"", {"WWW-Authenticate": 'Bearer realm="codesigning.azure.net"'})
    audience = world.tokens.get(token)
    if audience is None:
        return error_detail(500, "InternalError", "ClaimsPrincipal TenantId is null.")
    return None if audience == RESOURCE else Response(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _checked(world: SigningWorld, request: Request, endpoint: str) -> Response:
    refused = _refused(world, request)
    if refused is not None:
        return refused
    path = _PATH.fullmatch(request.path)
    if path is None:
        return Response(404, b"")
    version = request.query.get("api-version", [""])[0]
    if version not in VERSIONS:
        return Response(400, {"error": {"code": "UnsupportedApiVersion", "message": version}})
    if not world.enrolled or (path[1], path[2]) != (ACCOUNT, PROFILE):
        forbidden = "Response status code does not indicate success: 403 (Forbidden)."
        return error_detail(404, "InternalError", forbidden) if world.enrolled else Response(403, b"")
    world.correlations.add(request.headers.get("x-correlation-id", ""))
    if (request.method == "POST") != (path[3] is None):
        return Response(405, b"")
    return _begin(world, request, endpoint, version) if path[3] is None else _read(world, path[3], VERSIONS[version])


def _read(world: SigningWorld, what: str, enveloped: bool) -> Response:
    if what == "certchain":
        return Response(200, certificates_only(world.chain), {"Content-Type": CHAIN_TYPE})
    if what == "rootcert":
        return Response(200, world.root.der, {"Content-Type": "application/x-x509-ca-cert"})
    if what == "eku":
        usages = [world.durable.dotted_string] if world.durable else []
        return Response(200, {"value": usages} if enveloped else usages)
    operation = world.operations.get(what)
    if operation is None:
        return error_detail(404, "OperationNotFound", f"Operation {what} was not found.")
    operation.polls += 1
    return Response(200, _state(world, what, operation, enveloped))


def _begin(world: SigningWorld, request: Request, endpoint: str, version: str) -> Response:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return Response(415, b"")
    faults: dict[str, list[str]] = {}
    try:
        body = json.loads(request.body)
        algorithm, text = body["signatureAlgorithm"], body["digest"]
        digest = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, KeyError, binascii.Error) as broken:
        return problem(400, {"body": [f"{type(broken).__name__}"]})
    if algorithm not in ALGORITHMS:
        faults["signatureAlgorithm"] = [f"{algorithm} is not supported by the profile."]
    elif len(digest) != HASHES[algorithm[2:]].digest_size:
        faults["digest"] = [f"{len(digest)} bytes do not fit {algorithm}."]
    for name in ("fileHashList", "authenticodeHashList"):
        if not all(isinstance(text, str) for text in body.get(name) or []):
            faults[name] = ["It is a list of base64."]
    if faults:
        return problem(400, faults)
    identifier = world.begin(algorithm, digest)
    operation, enveloped = world.operations[identifier], VERSIONS[version]
    where = f"{endpoint}/codesigningaccounts/{ACCOUNT}/certificateprofiles/{PROFILE}/sign/{identifier}"
    content = _state(world, identifier, operation, enveloped, first=True)
    return Response(202, content, {"Operation-Location": f"{where}?api-version={version}"})


def _state(
    world: SigningWorld, identifier: str, operation: Operation, enveloped: bool, *, first: bool = False
) -> dict[str, Any]:
    ended = operation.done and (world.at_once or not first)
    succeeded = ended and operation.status == "Succeeded"
    signature = base64.b64encode(operation.signature).decode() if succeeded else None
    chain = _encoded(world, operation) if succeeded and not world.without_certificates else None
    status = operation.status if ended else world.running
    values = {"signature": signature, "signingCertificate": chain}
    if not (enveloped or world.result):
        return {"operationId": identifier, "status": status, **values}
    failed = {"error": {"code": status, "message": "The signing operation ended."}} if ended and not succeeded else {}
    return {"id": identifier, "status": status, **failed, **({"result": values} if succeeded else {})}


def _encoded(world: SigningWorld, operation: Operation) -> str:
    content = certificates_only(operation.certificates)
    if world.double:
        content = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return base64.b64encode(content).decode()
