"""What Vault answers: sys/health, the auth methods, and the transit engine (developer.hashicorp.com/vault/api-docs)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from support.certificates import rsa_key
from support.vault_transit.world import KEY, ROLE_ID, SECRET_ID, HeldToken, VaultWorld

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha2-256": hashes.SHA256(),
    "sha2-384": hashes.SHA384(),
    "sha2-512": hashes.SHA512(),
}
NO_TOKEN = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"  # noqa: S105 - a text
DENIED = "1 error occurred:\n\t* permission denied\n\n"


@dataclass(frozen=True)
class VaultRequest:
    """One request as it arrived; header names are in lower case, `path` lacks /v1/."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        return dict(json.loads(self.body or b"{}"))


@dataclass(frozen=True)
class VaultResponse:
    """Status, JSON or bytes, and further headers."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def wrong(status: int, *errors: str) -> VaultResponse:
    """Vault's one shape of errors."""
    return VaultResponse(status, {"errors": list(errors)})


def right(**parts: Any) -> VaultResponse:
    """The envelope of every success."""
    empty = {"lease_id": "", "renewable": False, "lease_duration": 0, "data": None, "wrap_info": None,
             "warnings": None, "auth": None}  # fmt: skip
    return VaultResponse(200, {"request_id": secrets.token_hex(16), **empty, **parts})


def respond(world: VaultWorld, request: VaultRequest) -> VaultResponse:
    """The answer of the active node."""
    path = request.path
    facts = {"initialized": True, "sealed": world.sealed, "standby": False, "version": "1.19.0"}
    if path == "sys/health":
        return VaultResponse(503 if world.sealed else 200, facts)
    if path in {"sys/seal-status", "sys/init"}:
        return VaultResponse(200, facts)
    if world.sealed:
        return wrong(503, "Vault is sealed")
    elsewhere = request.headers.get("x-vault-namespace", "").strip("/") != world.namespace
    if method := re.fullmatch(r"auth/([\w-]+)/login", path):
        return wrong(400, "invalid role or secret ID") if elsewhere else _login(world, method[1], request.content)
    held = None if elsewhere else world.holder(request.headers.get("x-vault-token"))
    return wrong(403, NO_TOKEN) if held is None else _with_token(world, held, request)


def _with_token(world: VaultWorld, held: HeldToken, request: VaultRequest) -> VaultResponse:
    path = request.path
    if path in {"auth/token/lookup-self", "auth/token/renew-self", "auth/token/revoke-self"}:
        return _token(world, held, path, request)
    if path == "sys/capabilities-self":
        return _capabilities(world, held, request.content["paths"])
    if path == f"{world.mount}/keys" and request.method == "LIST":
        return right(data={"keys": [KEY]}) if "read" in held.rights else wrong(403, DENIED)
    return _with_key(world, held, request)


def _with_key(world: VaultWorld, held: HeldToken, request: VaultRequest) -> VaultResponse:
    path, writes = request.path, request.method in {"POST", "PUT"}
    engine = re.fullmatch(rf"{re.escape(world.mount)}/(keys|sign|verify)/([\w.-]+)(?:/([\w-]+))?", path)
    if engine is None:
        return wrong(404, f'no handler for route "{path}". route entry not found.')
    what, name, algorithm = engine.groups()
    if {"keys": "read", "sign": "sign"}.get(what, "read") not in held.rights:
        return wrong(403, DENIED)
    if what == "keys" and request.method == "GET":
        return _key(world, name)
    if what in {"sign", "verify"} and writes:
        answer = (_sign if what == "sign" else _verify)(world, name, algorithm, request.content)
        if what == "sign" and answer.status == 200:
            world.audited.append(answer.content["request_id"])
        return answer
    return wrong(405, "1 error occurred:\n\t* unsupported operation\n\n")


def _login(world: VaultWorld, method: str, given: dict[str, Any]) -> VaultResponse:
    if method == "approle":
        if (given.get("role_id"), given.get("secret_id")) != (ROLE_ID, SECRET_ID):
            return wrong(400, "invalid role or secret ID")
    elif method in {"jwt", "kubernetes"}:
        if given.get("jwt") not in world.jwts:
            return wrong(400, "error validating token: invalid signature") if method == "jwt" else wrong(403, DENIED)
        if given.get("role") != "ci":
            return wrong(400, f'role "{given.get("role")}" could not be found')
    else:
        return wrong(404, f'no handler for route "auth/{method}/login". route entry not found.')
    world.used.append(method)
    if world.wrapped:
        return right(wrap_info={"token": "hvs.wrapping", "ttl": 60, "creation_path": f"auth/{method}/login"})
    return right(auth=world.login())


def _token(world: VaultWorld, held: HeldToken, path: str, request: VaultRequest) -> VaultResponse:
    left = 0 if held.end is None else int(held.end - time.monotonic())
    if path.endswith("revoke-self"):
        del world.tokens[request.headers["x-vault-token"]]
        return VaultResponse(204)
    if path.endswith("renew-self"):
        if not held.renewable:
            return wrong(400, "lease is not renewable")
        held.end = time.monotonic() + held.ttl
        world.used.append("renew")
        return right(auth={"client_token": request.headers["x-vault-token"], "lease_duration": held.ttl,
                           "renewable": True})  # fmt: skip
    if "lookup" not in held.rights:
        return wrong(403, DENIED)
    return right(data={"ttl": left, "renewable": held.renewable, "policies": ["default", "sign"], "type": "service"})


def _capabilities(world: VaultWorld, held: HeldToken, paths: list[str]) -> VaultResponse:
    found = {}
    for path in paths:
        reads, signs = path == f"{world.mount}/keys/{KEY}", path.startswith(f"{world.mount}/sign/{KEY}")
        may = "read" in held.rights and reads, "sign" in held.rights and signs
        found[path] = ["read"] if may[0] else ["update"] if may[1] else ["deny"]
    return right(data={**found, "capabilities": found[paths[0]]}, **found)


def _key(world: VaultWorld, name: str) -> VaultResponse:
    if name != KEY:
        return wrong(404)
    return right(
        data={
            "name": name, "type": world.kind, "derived": False, "exportable": False, "imported_key": False,
            "deletion_allowed": False, "min_available_version": 0, "min_decryption_version": 1,
            "min_encryption_version": world.lowest, "latest_version": max(world.versions),
            "supports_signing": world.supports_signing, "supports_encryption": True, "supports_decryption": True,
            "supports_derivation": False, "soft_deleted": world.soft_deleted,
            "keys": {str(number): version.shown() for number, version in world.versions.items()},
        }
    )  # fmt: skip


def _sign(world: VaultWorld, name: str, algorithm: str | None, given: dict[str, Any]) -> VaultResponse:
    number = given.get("key_version") or max(world.versions)
    hashing = HASHES.get(algorithm or given.get("hash_algorithm") or "sha2-256")
    refused = {
        "signing key not found": name != KEY,
        f'invalid hash algorithm "{algorithm}"': hashing is None,
        "requested version for signing is higher than the latest key version": number not in world.versions,
        "requested version for signing is less than the minimum encryption key version": number < world.lowest,
    }
    if any(refused.values()) or hashing is None:
        return wrong(400, next(text for text, applies in refused.items() if applies))
    try:
        data = base64.b64decode(given.get("input", ""), validate=True)
    except binascii.Error:
        return wrong(400, "unable to decode input as base64")
    key = rsa_key(2048) if world.wrong_key else world.versions[number].key
    scheme: hashes.HashAlgorithm | utils.Prehashed = utils.Prehashed(hashing) if given.get("prehashed") else hashing
    try:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            value = key.sign(data, ec.ECDSA(scheme))
        else:
            value = key.sign(data, _padding(given, hashing, padding.PSS.MAX_LENGTH), scheme)
    except ValueError as refused:
        return wrong(400, f"failed to sign: {refused}")
    world.spent.append((number, data.hex()))
    shown = number + 1 if world.wrong_version else number
    signature = f"vault:v{shown}:{base64.b64encode(value).decode()}"
    return right(data={"signature": signature, "key_version": number})


def _padding(given: dict[str, Any], hashing: hashes.HashAlgorithm, salt: Any) -> padding.AsymmetricPadding:
    """PSS, unless PKCS#1 v1.5 is asked for."""
    if given.get("signature_algorithm", "pss") == "pkcs1v15":
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(hashing), salt)


def _verify(world: VaultWorld, name: str, algorithm: str | None, given: dict[str, Any]) -> VaultResponse:
    parts = re.fullmatch(r"vault:v(\d+):(.+)", given.get("signature", ""))
    if name != KEY or parts is None:
        return wrong(400, "invalid signature: no prefix")
    hashing = HASHES[algorithm or given.get("hash_algorithm") or "sha2-256"]
    public, value = world.versions[int(parts[1])].key.public_key(), base64.b64decode(parts[2])
    scheme: hashes.HashAlgorithm | utils.Prehashed = utils.Prehashed(hashing) if given.get("prehashed") else hashing
    data = base64.b64decode(given["input"])
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(value, data, _padding(given, hashing, padding.PSS.AUTO), scheme)
        else:
            public.verify(value, data, ec.ECDSA(scheme))
    except InvalidSignature:
        return right(data={"valid": False})
    return right(data={"valid": True})
