"""The service's JSON, field by field: lists, certificates, key pairs, and its three shapes of errors."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.digicert_one.world import Account, Certificate, Keypair, User, World

Json = dict[str, Any]


def page(items: list[Any], offset: int, limit: int) -> Json:
    return {"total": len(items), "offset": offset, "limit": limit, "items": items[offset : offset + limit]}


def certificate(certificate: Certificate) -> Json:
    parsed = certificate.leaf.certificate
    chain = [
        {
            "cert_type": "root" if issuer.certificate.issuer == issuer.certificate.subject else "intermediate",
            "blob": b64encode(issuer.der).decode(),
        }
        for issuer in certificate.chain
    ]
    return {
        "id": certificate.id,
        "alias": certificate.alias,
        "account": account(certificate.keypair.account),
        "keypair": {
            "id": certificate.keypair.id,
            "alias": certificate.keypair.alias,
            "limit_by_users": certificate.keypair.signers is not None,
        },
        "cert": b64encode(certificate.leaf.der).decode(),
        "certificate_fingerprint": b64encode(hashlib.sha256(certificate.leaf.der).digest()).decode(),
        "certificate_status": certificate.status,
        "certificate_type": "PRODUCTION",
        "certificate_profile": {"id": "a6f9b1f0-0000-4000-8000-000000000001"},
        "default_cert": True,
        "enrollment_method": "CERTCENTRAL",
        "hierarchy": "PUBLIC",
        "organization": "Example Ltd",
        "ca_certificate": False,
        "auto_renewal": False,
        "created_on": time(parsed.not_valid_before_utc),
        "valid_from": time(parsed.not_valid_before_utc),
        "valid_to": time(parsed.not_valid_after_utc),
        "chain": chain,
    }


def keypair(keypair: Keypair, user: User, world: World) -> Json:
    public = keypair.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own = [found for found in world.certificates if found.keypair is keypair]
    strength: Json = {"key_alg": "RSA", "key_size": keypair.key.key_size}
    if not isinstance(keypair.key, rsa.RSAPrivateKey):
        strength = {"key_alg": "ECDSA", "curve": f"P-{keypair.key.curve.key_size}"}
    return {
        "id": keypair.id,
        "alias": keypair.alias,
        "account": account(keypair.account),
        **strength,
        "key_type": keypair.kind,
        "key_storage": "HSM",
        "key_modal_type": "STATIC",
        "key_status": keypair.status,
        "public_key": b64encode(public).decode(),
        "certificates": [{"id": found.id, "alias": found.alias} for found in own],
        "number_of_active_certificates": sum(found.status == "ACTIVE" for found in own),
        "is_signable_by_me": keypair.may_sign(user),
        "limit_by_users": keypair.signers is not None,
        "users": sorted(keypair.signers or ()),
        "groups": [],
        "hsm_partition_details": {"name": "stand-in"},
    }


def account(account: Account) -> Json:
    return {"id": account.id, "name": account.name}


def time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def error(status: str, message: str) -> Json:
    """The shape of the service itself."""
    return {"error": {"status": status, "message": message}}


def framework_error(status: int, phrase: str, path: str) -> Json:
    """The shape of what it is built on."""
    return {"status": str(status), "error": phrase, "path": path}


def gateway_error(code: str, message: str) -> Json:
    """The shape of what stands before it."""
    return {"errors": [{"code": code, "message": message}]}
