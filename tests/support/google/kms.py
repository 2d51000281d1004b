"""Google Cloud KMS over REST: rings, keys and versions listed and read, publicKey, asymmetricSign; strict in what it
takes.

https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from support.google.world import HASHES, KEY, GoogleWorld, KeyVersion
from support.key_vault.answers import Request, Response

_PLACE, _RING = KEY.partition("/keyRings/")[0], KEY.partition("/cryptoKeys/")[0]
_PATH = re.compile(r"/v1/(?P<key>projects/[^:]+/cryptoKeys/[\w-]+)/cryptoKeyVersions(?:/(?P<number>\d+)(?P<rest>.*))?")
_NUMBERS = {
    "state": {"ENABLED": 1, "DISABLED": 2, "DESTROYED": 3, "DESTROY_SCHEDULED": 4, "PENDING_GENERATION": 5},
    "protectionLevel": {"SOFTWARE": 1, "HSM": 2},
    "purpose": {"ASYMMETRIC_SIGN": 5},
    "algorithm": {
        "RSA_SIGN_PSS_2048_SHA256": 2,
        "RSA_SIGN_PKCS1_2048_SHA256": 5,
        "RSA_SIGN_PKCS1_3072_SHA256": 6,
        "RSA_SIGN_PKCS1_4096_SHA256": 7,
        "EC_SIGN_P256_SHA256": 12,
        "EC_SIGN_P384_SHA384": 13,
        "RSA_SIGN_PKCS1_4096_SHA512": 16,
    },
}
"""What $alt=json;enum-encoding=int asks for, which Google's own clients do."""
_CREATED = "2026-11-01T08:00:00.000000000Z"


class Refused(Exception):  # noqa: N818 - what the service calls it
    """A google.rpc.Status."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.response = failure(code, status, message)


def respond(world: GoogleWorld, request: Request) -> Response:
    """The answer of cloudkms.googleapis.com."""
    try:
        with world.lock:
            content = _done(world, request)
    except Refused as refused:
        return refused.response
    if request.query.get("$alt") == ["json;enum-encoding=int"]:
        content = _numbered(content)
    return Response(200, content)


def failure(code: int, status: str, message: str, **headers: str) -> Response:
    """An error as Google's services word it."""
    return Response(code, {"error": {"code": code, "message": message, "status": status}}, headers)


def crc32c(data: bytes) -> int:
    """Castagnoli, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _bit in range(8):
            value = (value >> 1) ^ (0x82F63B78 * (value & 1))
    return value ^ 0xFFFFFFFF


def _done(world: GoogleWorld, request: Request) -> dict[str, Any]:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or token not in world.tokens or world.ends[token] < time.time():
        raise Refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")  # fmt: skip  # noqa: E501
    found = _PATH.fullmatch(unquote(request.path))
    if found is None and request.method == "GET" and (above := _above(unquote(request.path))) is not None:
        _allow(world, above[0], above[1])
        return above[2]
    if found is None:
        raise Refused(404, "NOT_FOUND", f"No such method: {request.path}")
    if found["key"] != KEY:
        _allow(world, "get", f"{found['key']}")
        raise Refused(404, "NOT_FOUND", f"CryptoKey {found['key']} not found.")
    if found["number"] is None:
        _allow(world, "list", KEY)
        return _listed(world, request)
    version = next((version for version in world.versions if version.number == int(found["number"])), None)
    name = f"{KEY}/cryptoKeyVersions/{found['number']}"
    methods = {("GET", ""): "get", ("GET", "/publicKey"): "viewPublicKey", ("POST", ":asymmetricSign"): "useToSign"}
    method = methods.get((request.method, found["rest"]))
    if method is None:
        raise Refused(404, "NOT_FOUND", f"No such method: {request.path}")
    _allow(world, method, name)
    if version is None:
        raise Refused(404, "NOT_FOUND", f"CryptoKeyVersion {name} not found.")
    if method == "get":
        return _shown(version)
    if version.state != "ENABLED":
        raise Refused(400, "FAILED_PRECONDITION", f"{name} is not enabled, current state is: {version.state}.")
    return _public(version) if method == "viewPublicKey" else _signed(world, version, request)


def _above(path: str) -> tuple[str, str, dict[str, Any]] | None:
    """What is above the versions: the right that it takes, its name, and the answer."""
    ring = {"name": _RING, "createTime": _CREATED}
    template = {"protectionLevel": "HSM", "algorithm": "RSA_SIGN_PKCS1_2048_SHA256"}
    key = {"name": KEY, "purpose": "ASYMMETRIC_SIGN", "createTime": _CREATED, "versionTemplate": template}
    known: dict[str, tuple[str, str, dict[str, Any]]] = {
        f"/v1/{_PLACE}/keyRings": ("list", _PLACE, {"keyRings": [ring], "totalSize": 1}),
        f"/v1/{_RING}": ("get", _RING, ring),
        f"/v1/{_RING}/cryptoKeys": ("list", _RING, {"cryptoKeys": [key], "totalSize": 1}),
        f"/v1/{KEY}": ("get", KEY, key),
    }
    return known.get(path)


def _allow(world: GoogleWorld, method: str, name: str) -> None:
    if method not in world.allowed:
        permission = f"cloudkms.cryptoKeyVersions.{method}"
        raise Refused(403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource '{name}' (or it may not exist).")  # fmt: skip  # noqa: E501


def _listed(world: GoogleWorld, request: Request) -> dict[str, Any]:
    """In pages of two, whatever size is asked for: a service may send fewer."""
    wanted = request.query.get("filter", [""])[0]
    if wanted not in {"", "state=ENABLED"}:
        raise Refused(400, "INVALID_ARGUMENT", f"unknown filter {wanted}")
    held = [_shown(version) for version in world.versions if not wanted or version.state == "ENABLED"]
    start = int(request.query.get("pageToken", ["0"])[0])
    more = {"nextPageToken": str(start + 2)} if start + 2 < len(held) else {}
    return {"cryptoKeyVersions": held[start : start + 2], "totalSize": len(held), **more}


def _shown(version: KeyVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "state": version.state,
        "createTime": _CREATED,
        "protectionLevel": "HSM",
        "algorithm": version.algorithm,
    }


def _public(version: KeyVersion) -> dict[str, Any]:
    return {
        "pem": version.pem,
        "algorithm": version.algorithm,
        "pemCrc32c": str(crc32c(version.pem.encode())),
        "name": version.name,
        "protectionLevel": "HSM",
    }


def _signed(world: GoogleWorld, version: KeyVersion, request: Request) -> dict[str, Any]:
    try:
        content = json.loads(request.body)
        ((kind, text),) = content["digest"].items()
        digest = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        raise Refused(400, "INVALID_ARGUMENT", "Invalid JSON payload received.") from None
    if kind != version.digest or len(digest) != HASHES[version.digest].digest_size:
        raise Refused(400, "INVALID_ARGUMENT", f"The digest type {kind} is not valid for {version.algorithm}.")
    if "digestCrc32c" in content and str(content["digestCrc32c"]) != str(crc32c(digest)):
        raise Refused(400, "INVALID_ARGUMENT", "The checksum in field digest_crc32c did not match the data in field digest.")  # fmt: skip  # noqa: E501
    world.signed.append(digest.hex())
    signer = version if world.wrong_key is None else KeyVersion(world.wrong_key, version.number)
    value = signer.sign(digest)
    return {
        "signature": base64.b64encode(value).decode(),
        "signatureCrc32c": str(crc32c(value)),
        "verifiedDigestCrc32c": "digestCrc32c" in content,
        "name": version.name,
        "protectionLevel": "HSM",
    }


def _numbered(content: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in content.items():
        made[name] = _NUMBERS[name].get(value, 0) if name in _NUMBERS else value
    for name in ("cryptoKeyVersions", "cryptoKeys"):
        if name in made:
            made[name] = [_numbered(entry) for entry in made[name]]
    if "versionTemplate" in made:
        made["versionTemplate"] = _numbered(made["versionTemplate"])
    return made
