"""AWS KMS's JSON protocol (1.1): keys and aliases listed and described, Sign and Verify; each request must be signed.

https://docs.aws.amazon.com/kms/latest/APIReference/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import uuid
from typing import Any

from support.aws.sigv4 import Refused, check
from support.aws.world import ACCOUNT, HASHES, REGION, AwsWorld, KmsKey
from support.key_vault.answers import Request, Response

TYPE = "application/x-amz-json-1.1"
_ENCRYPTING = {"EncryptionAlgorithms": ["RSAES_OAEP_SHA_256"]}
FAULTS = frozenset({"KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException"})
_ARN = re.compile(r"arn:aws:kms:([a-z0-9-]+):(\d{12}):(.+)")


def respond(world: AwsWorld, request: Request) -> Response:
    """The answer of the region's KMS."""
    try:
        with world.lock:
            answer = answered(200, _done(world, request))
            if request.headers["x-amz-target"].endswith(".Sign"):
                world.trail.append(answer.headers["x-amzn-RequestId"])
            return answer
    except Refused as refused:
        return exception(refused.name, refused.message)


def answered(status: int, content: dict[str, Any]) -> Response:
    """An answer as the service frames it."""
    headers = {"Content-Type": TYPE, "x-amzn-RequestId": str(uuid.uuid4())}
    return Response(status, json.dumps(content).encode(), headers)


def exception(name: str, message: str, **headers: str) -> Response:
    """An exception of the service."""
    made = answered(500 if name in FAULTS else 400, {"__type": name, "message": message})
    return Response(made.status, made.content, {**made.headers, **headers})


def _done(world: AwsWorld, request: Request) -> dict[str, Any]:
    principal = check(world, request, "kms").principal
    prefix, _, operation = request.headers.get("x-amz-target", "").partition(".")
    if request.method != "POST" or request.target != "/" or prefix != "TrentService":
        raise Refused("UnknownOperationException", "")
    if request.headers.get("content-type") != TYPE:
        raise Refused("SerializationException", "")
    known = {"GetPublicKey": _public_key, "DescribeKey": _described, "Sign": _signed, "Verify": _verified}
    lists = {"ListKeys": _keys, "ListAliases": _aliases}
    if operation not in known and operation not in lists:
        raise Refused("UnknownOperationException", "")
    try:
        content = json.loads(request.body)
        name = content.get("KeyId") if operation in lists else content["KeyId"]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused("ValidationException", "1 validation error detected: 'keyId' must not be null") from None
    key = None if name is None else _key(world, name)
    if operation not in world.allowed:
        raise Refused(
            "AccessDeniedException",
            f"User: {principal} is not authorized to perform: kms:{operation} on resource: "
            f"{'*' if key is None else key.arn} because no identity-based policy allows the kms:{operation} action",
        )
    if operation in lists:
        return _page(lists[operation](world, key), content)
    assert key is not None
    return known[operation](world, key, content)


def _page(listed: dict[str, list[dict[str, Any]]], content: dict[str, Any]) -> dict[str, Any]:
    """As many as the request's Limit, from its Marker on."""
    ((name, entries),) = listed.items()
    start, limit = int(content.get("Marker", "0")), int(content.get("Limit", 100))
    more = start + limit < len(entries)
    return {
        name: entries[start : start + limit],
        "Truncated": more,
        **({"NextMarker": str(start + limit)} if more else {}),
    }


def _keys(world: AwsWorld, _key: KmsKey | None) -> dict[str, list[dict[str, Any]]]:
    return {"Keys": [{"KeyId": key.id, "KeyArn": key.arn} for key in world.keys]}


def _aliases(world: AwsWorld, only: KmsKey | None) -> dict[str, list[dict[str, Any]]]:
    named = [(name, key) for name, key in world.aliases.items() if only is None or only is key]
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}"
    return {"Aliases": [{"AliasName": name, "AliasArn": f"{arn}:{name}", "TargetKeyId": key.id} for name, key in named]}


def _key(world: AwsWorld, name: str) -> KmsKey:
    arn = _ARN.fullmatch(name)
    if arn is not None and arn[1] != REGION:
        raise Refused("NotFoundException", f"Invalid arn {arn[1]}")
    bare = arn[3].removeprefix("key/") if arn is not None else name
    found = world.aliases.get(bare) or next((key for key in world.keys if key.id == bare), None)
    if found is None:
        kind = "Alias" if bare.startswith("alias/") else "Key"
        where = f"arn:aws:kms:{REGION}:{ACCOUNT}:{bare if kind == 'Alias' else f'key/{bare}'}"
        text = f"Alias {where} is not found." if kind == "Alias" else f"Key '{where}' does not exist"
        raise Refused("NotFoundException", text)
    return found


def _usable(key: KmsKey) -> None:
    if key.state == "Disabled":
        raise Refused("DisabledException", f"{key.arn} is disabled.")
    if key.state != "Enabled":
        words = {"PendingDeletion": "pending deletion", "PendingImport": "pending import"}
        raise Refused("KMSInvalidStateException", f"{key.arn} is {words.get(key.state, key.state.lower())}.")


def _public_key(_world: AwsWorld, key: KmsKey, _content: dict[str, Any]) -> dict[str, Any]:
    _usable(key)
    return {
        "CustomerMasterKeySpec": key.spec,
        "KeyId": key.arn,
        "KeySpec": key.spec,
        "KeyUsage": key.usage,
        "PublicKey": base64.b64encode(key.public).decode(),
        **(
            {"SigningAlgorithms": key.algorithms}
            if key.algorithms
            else {"EncryptionAlgorithms": ["RSAES_OAEP_SHA_256"]}
        ),
    }


def _described(_world: AwsWorld, key: KmsKey, _content: dict[str, Any]) -> dict[str, Any]:
    external = {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": key.valid_to.timestamp()} if key.valid_to else {}
    deletion = {"DeletionDate": key.deleted.timestamp()} if key.deleted else {}
    return {
        "KeyMetadata": {
            "AWSAccountId": ACCOUNT,
            "Arn": key.arn,
            "CreationDate": 1764400000.123,
            "CustomerMasterKeySpec": key.spec,
            "Description": "",
            "Enabled": key.state == "Enabled",
            "KeyId": key.id,
            "KeyManager": "CUSTOMER",
            "KeySpec": key.spec,
            "KeyState": key.state,
            "KeyUsage": key.usage,
            "MultiRegion": False,
            "Origin": key.origin,
            "SigningAlgorithms": key.algorithms,
            **external,
            **deletion,
        }
    }


def _digest_of(key: KmsKey, content: dict[str, Any], operation: str) -> tuple[str, bytes]:
    """The algorithm that is asked for, and the digest."""
    algorithm, kind = content.get("SigningAlgorithm"), content.get("MessageType", "RAW")
    try:
        message = base64.b64decode(content["Message"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        raise Refused("SerializationException", "Message is not base64") from None
    if kind not in {"RAW", "DIGEST"} or not isinstance(algorithm, str):
        raise Refused("ValidationException", "1 validation error detected")
    _usable(key)
    if key.usage != "SIGN_VERIFY":
        usage = f"{key.arn} key usage is {key.usage} which is not valid for {operation}."
        raise Refused("InvalidKeyUsageException", usage)
    if algorithm not in key.algorithms:
        raise Refused("InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {key.spec}.")
    size = HASHES[algorithm[-3:]].digest_size
    if kind == "DIGEST" and len(message) != size:
        raise Refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}.")
    return algorithm, message if kind == "DIGEST" else hashlib.new(f"sha{algorithm[-3:]}", message).digest()


def _verified(_world: AwsWorld, key: KmsKey, content: dict[str, Any]) -> dict[str, Any]:
    algorithm, digest = _digest_of(key, content, "Verify")
    if not key.verifies(digest, base64.b64decode(content["Signature"]), algorithm):
        raise Refused("KMSInvalidSignatureException", "")
    return {"KeyId": key.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}


def _signed(world: AwsWorld, key: KmsKey, content: dict[str, Any]) -> dict[str, Any]:
    algorithm, digest = _digest_of(key, content, "Sign")
    if content.get("DryRun"):
        world.dry.append(digest.hex())
        raise Refused("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
    world.signed.append(digest.hex())
    signer = key if world.wrong_key is None else KmsKey(world.wrong_key)
    value = signer.sign(digest, algorithm)
    return {"KeyId": key.arn, "Signature": base64.b64encode(value).decode(), "SigningAlgorithm": algorithm}
