"""What SignServer answers: its REST interface's process, and its health check, in the order in which it checks.

https://docs.keyfactor.com/signserver/latest/rest-interface
"""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from typing import Any
from urllib.parse import unquote

from support.key_vault.answers import Request, Response
from support.signserver.world import HASHES, NUMBER, TOKEN, USER, WORKER, SignServerWorld

BASE = "/signserver"
_PROCESS = re.compile(rf"{BASE}/rest/v1/workers/([^/]+)/process")


class Refused(Exception):  # noqa: N818 - what the server calls it
    """An ErrorMessage."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.response = wrong(status, said)


def wrong(status: int, said: str, **headers: str) -> Response:
    """The one shape of errors."""
    return Response(status, {"error": said}, headers)


def respond(world: SignServerWorld, request: Request, client: str | None) -> Response:
    """The answer to one request; `client` is the common name of the TLS client certificate."""
    if request.path == f"{BASE}/healthcheck/signserverhealth":
        if world.healthy is None:
            return Response(401, b"<html>Authorization required</html>", {"Content-Type": "text/html"})
        return Response(200 if world.healthy else 500, b"ALLOK" if world.healthy else b"Worker 7: Crypto Token offline")
    found = _PROCESS.fullmatch(request.path)
    if found is None or request.method != "POST":
        return Response(404, b"<html><title>404 - Not Found</title></html>", {"Content-Type": "text/html"})
    try:
        with world.lock:
            return Response(200, _processed(world, unquote(found[1]), request, client))
    except Refused as refused:
        return refused.response


def _processed(world: SignServerWorld, worker: str, request: Request, client: str | None) -> dict[str, Any]:
    if not request.headers.get("x-keyfactor-requested-with"):
        raise Refused(403, "Access is forbidden!")
    data, metadata = _read(request)
    if worker not in {WORKER, str(NUMBER)}:
        raise Refused(404, f"No such worker: {worker}")
    _authorize(world, request, client)
    if world.disabled:
        raise Refused(503, f"Error Signer : {worker} is disabled and cannot perform any signature operations")
    if world.misconfigured:
        raise Refused(500, "Internal server error: Worker is misconfigured")
    if world.offline:
        raise Refused(503, "Crypto Token is offline")
    if world.limit is not None and len(world.signed) >= world.limit:
        raise Refused(503, f"Key usage limit exceeded or not initialized for worker {NUMBER}")
    name = _digest_algorithm(world, metadata)
    if name is not None and len(data) != HASHES[name].digest_size:
        raise Refused(400, "Input length doesn't match hash digest algorithm specified through request metadata")
    try:
        value = world.sign(data, name)
    except ValueError:
        raise Refused(500, "Internal server error: Error initializing signer") from None
    world.logged.append(str(random.randint(-(2**31), 2**31 - 1)))  # noqa: S311 - a number
    certificate = base64.b64encode(world.leaf.der).decode() if world.shows_certificate else None
    return {
        "archiveId": "022a0fee43ba76ed26605cc87c090afb9ea66b07",
        "data": base64.b64encode(value).decode(),
        "metaData": {},
        "requestId": world.logged[-1],
        "signerCertificate": certificate,
    }


def _read(request: Request) -> tuple[bytes, dict[str, str]]:
    try:
        content = json.loads(request.body)
        data, metadata = content.get("data"), content.get("metaData") or {}
    except (ValueError, AttributeError):
        raise Refused(
            500, "The server were unable to process the request. See server-side logs for more details."
        ) from None
    if data is None:
        raise Refused(400, "Missing data in request")
    if content.get("encoding") == "BASE64":
        try:
            return base64.b64decode(data, validate=True), metadata
        except binascii.Error:
            raise Refused(500, "Incorrect base64 data") from None
    return str(data).encode(), metadata


def _authorize(world: SignServerWorld, request: Request, client: str | None) -> None:
    given = request.headers.get("authorization", "")
    if world.auth == "basic":
        login = base64.b64encode(f"{USER}:{world.password}".encode()).decode()
        if given != f"Basic {login}":
            raise Refused(401, "Authentication denied")
    elif world.auth == "token":
        if given != f"Bearer {TOKEN}":
            raise Refused(401, "Authentication denied")
    elif world.auth == "certificate":
        if client is None:
            raise Refused(400, "Error, client authentication is required.")
        if client not in world.admitted:
            raise Refused(400, f'Worker {NUMBER}: Client is not authorized: "CN={client}", "4f2e, CN=Clients"')


def _digest_algorithm(world: SignServerWorld, metadata: dict[str, str]) -> str | None:
    """The digest algorithm of the hash that is sent, None where the data itself is."""
    wanted = metadata.get("USING_CLIENTSUPPLIED_HASH")
    hashing = world.hashing if wanted is None else wanted == "true"
    if hashing != world.hashing and not world.override:
        side = "Client" if hashing else "Server"
        raise Refused(400, f"{side}-side hashing requested but not allowed")
    if not hashing:
        return None
    name = metadata.get("CLIENTSIDE_HASHDIGESTALGORITHM", "")
    if not name:
        raise Refused(400, "Client-side hashing request must specify hash algorithm used")
    if name not in HASHES:
        raise Refused(400, "Client specified an unknown digest algorithm")
    if name not in world.accepted:
        raise Refused(400, "Client specified a non-accepted digest hash algorithm")
    return name
