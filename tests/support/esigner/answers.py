"""What SSL.com answers: the token's endpoint (RFC 6749), the Cloud Signature Consortium's API 0.1.7.9, and its scans.

https://cloudsignatureconsortium.org/wp-content/uploads/2020/05/CSC_API_V0_0.1.7.9.pdf
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from support.esigner.world import CLIENT_IDS, OIDS, USER, ESignerWorld, HeldCredential
from support.key_vault.answers import Request, Response

MOST_REFUSALS = 3
GRANT = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the "
    "authorization request, or was issued to another client."
)


class Refused(Exception):  # noqa: N818 - what the service calls it
    """An error as the API words it."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.response = wrong(status, error, description)


def wrong(status: int, error: str, description: str, **headers: str) -> Response:
    """The one shape of errors."""
    return Response(status, {"error": error, "error_description": description}, headers)


def respond(world: ESignerWorld, request: Request, login: str | None = None) -> Response:
    """The answer of either host; `login` is the name of the token's host, where one host serves both."""
    try:
        with world.lock:
            if request.path == "/oauth2/token":
                content = _token(world, request, login or request.host)
            else:
                content = _api(world, request)
    except Refused as refused:
        return _dated(world, refused.response)
    return _dated(world, Response(200, content))


def _dated(world: ESignerWorld, response: Response) -> Response:
    date = email.utils.formatdate(world.now(), usegmt=True)
    return Response(response.status, response.content, {"Date": date, **response.headers})


def _token(world: ESignerWorld, request: Request, host: str) -> dict[str, Any]:
    """By JSON, or as a form, as RFC 6749 has it."""
    if request.headers.get("content-type", "").startswith("application/json"):
        given = json.loads(request.body)
    else:
        given = dict(parse_qsl(request.body.decode()))
    world.logins += 1
    if given.get("client_id") != CLIENT_IDS.get(host):
        raise Refused(401, "invalid_client", "Client authentication failed due to unknown client.")
    if given.get("grant_type") != "password":
        raise Refused(400, "unsupported_grant_type", "The authorization grant type is not supported.")
    if world.refused_passwords >= MOST_REFUSALS:
        raise Refused(401, "invalid_grant", "The account is locked after too many failed attempts.")
    if (given.get("username"), given.get("password")) != (USER, world.password):
        world.refused_passwords += 1
        raise Refused(401, "invalid_grant", GRANT)
    return {
        "access_token": world.token(), "token_type": "Bearer", "expires_in": world.life, "scope": "service",
        "refresh_token": secrets.token_hex(16), "created_at": int(world.now()),
    }  # fmt: skip


def _api(world: ESignerWorld, request: Request) -> dict[str, Any]:
    if request.method != "POST":
        raise Refused(405, "invalid_request", "The method is not allowed.")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or world.tokens.get(token, 0.0) < time.monotonic():
        raise Refused(401, "invalid_token", "The access token is invalid or expired")
    calls: dict[str, Callable[[ESignerWorld, dict[str, Any]], dict[str, Any]]] = {
        "/csc/v0/credentials/list": _list,
        "/csc/v0/credentials/info": _info,
        "/csc/v0/credentials/authorize": _authorize,
        "/csc/v0/signatures/signHash": _sign,
        "/scan/settings": _settings,
        "/scan/hash": _scan,
    }
    call = calls.get(request.path)
    if call is None:
        raise Refused(404, "invalid_request", "Not found")
    try:
        return call(world, json.loads(request.body or b"{}"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused(400, "invalid_request", "The request is missing a required parameter.") from None


def _list(world: ESignerWorld, given: dict[str, Any]) -> dict[str, Any]:
    """In pages of two."""
    ids = list(world.credentials)
    start = int(given.get("pageToken", 0))
    more = {"nextPageToken": str(start + 2)} if start + 2 < len(ids) else {}
    return {"credentialIDs": ids[start : start + 2], **more}


def _info(world: ESignerWorld, given: dict[str, Any]) -> dict[str, Any]:
    held = _credential(world, given["credentialID"])
    wanted = {"none": 0, "single": 1, "chain": len(held.chain)}[given.get("certificates", "single")]
    chain = [base64.b64encode(issued.der).decode() for issued in held.chain[:wanted]]
    return {
        "description": "Code signing", "authMode": "explicit", "SCAL": "2", "multisign": held.multisign,
        "key": {"status": held.status, "algo": held.offered, "len": 2048},
        "cert": {"status": "valid", **({"certificates": chain} if wanted else {})},
        "PIN": {"presence": "true" if held.pin else "false", "format": "N"},
        "OTP": {"presence": "true" if held.otp else "false", "type": held.otp_type, "format": "N", "ID": "totp"},
    }  # fmt: skip


def _authorize(world: ESignerWorld, given: dict[str, Any]) -> dict[str, Any]:
    held = _credential(world, given["credentialID"])
    texts, count = given.get("hash") or [], int(given["numSignatures"])
    if world.forbidden:
        raise Refused(403, "access_denied", "The user is not a signer of this credential")
    wrong_with = {
        f"key status is {held.status}": held.status != "enabled",
        "Numbers of hashes and numSignatures differ": not texts or len(texts) != count,
        "Invalid parameter numSignatures": count > 1 and not held.multisign,
        "The signings of your tier exceed the limit": world.left is not None and len(world.signed) + count > world.left,
    }
    for reason, applies in wrong_with.items():
        if applies:
            raise Refused(400, "invalid_request", reason)
    if held.scan:
        _check_scanned(world, texts)
    if held.otp:
        _check_otp(world, str(given.get("OTP", "")))
    sad = f"sad-{secrets.token_hex(24)}"
    world.sads[sad] = (held.id, list(texts))
    world.authorized.append(count)
    return {"SAD": sad, "expiresIn": 300}


def _check_scanned(world: ESignerWorld, texts: list[str]) -> None:
    for text in texts:
        if text not in world.scanned:
            said = f"hash needs to be scanned first before submitting for signing: {text}"
            raise Refused(400, "invalid_request", said)
        if world.scanned[text] in world.malware:
            raise Refused(400, "invalid_request", f"malware detected in the file of hash {text}")


def _check_otp(world: ESignerWorld, otp: str) -> None:
    if world.refused_otps >= MOST_REFUSALS:
        raise Refused(400, "invalid_otp", "The credential is locked after too many attempts")
    reason = world.take(otp)
    if reason is not None:
        raise Refused(400, "invalid_otp", reason)


def _sign(world: ESignerWorld, given: dict[str, Any]) -> dict[str, Any]:
    held = _credential(world, given["credentialID"])
    identifier, allowed = world.sads.get(given["SAD"], ("", []))
    if identifier != held.id or given["SAD"] in world.used_sads:
        raise Refused(400, "invalid_request", "Invalid parameter SAD")
    if not set(given["hash"]) <= set(allowed):
        raise Refused(400, "invalid_request", "Hash is not authorized by the SAD")
    oid = given["signAlgo"]
    if oid not in held.offered:
        raise Refused(400, "invalid_request", "Invalid parameter signAlgo")
    made: list[str] = []
    for text in given["hash"]:
        try:
            digest = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise Refused(400, "invalid_request", "Invalid Base64 hash string parameter") from None
        if len(digest) != OIDS[oid][1].digest_size:
            raise Refused(400, "invalid_request", "Invalid digest value length")
        made.append(base64.b64encode(held.sign(digest, oid)).decode())
        world.signed.append(digest.hex())
    world.used_sads.append(given["SAD"])
    return {"signatures": made[: len(made) - world.short] if world.short else made}


def _settings(world: ESignerWorld, given: dict[str, Any]) -> dict[str, Any]:
    held = _credential(world, given["credential_id"])
    return {"malware_scan_enabled": held.scan, "credential_id": held.id}


def _scan(world: ESignerWorld, given: dict[str, Any]) -> dict[str, Any]:
    _credential(world, given["credential_id"])
    scanned = base64.b64decode(given["hash_to_scan"], validate=True)
    if len(scanned) != hashlib.sha256().digest_size:
        raise Refused(400, "invalid_request", "hash_to_scan is not a SHA-256")
    world.scanned[given["hash_to_sign"]] = given["hash_to_scan"]
    if given["hash_to_scan"] in world.malware:
        raise Refused(422, "invalid_request", "Malware detected: EICAR-Test-File")
    return {"status": "success"}


def _credential(world: ESignerWorld, identifier: str) -> HeldCredential:
    held = world.credentials.get(identifier)
    if held is None:
        raise Refused(400, "invalid_request", "Invalid parameter credentialID")
    return held
