"""A program that is a key store, written from docs/reference/command-key-store.md, with every fault that one may have.

Usage: program.py FOLDER. `ways.json` there has its behaviour, `key.pem` and `chain.pem` what it signs with, and
`made.txt` gets a line for every signature.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

FOLDER = Path(sys.argv[1])
WAYS: dict[str, Any] = json.loads((FOLDER / "ways.json").read_text(encoding="utf-8"))
HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
LOCK = threading.Lock()


def write(line: str) -> None:
    with LOCK:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def once(name: str) -> bool:
    """Whether this is one of the first times, over all processes, that the way asks for; without a number always."""
    if name not in WAYS:
        return False
    count = FOLDER / f"{name}.count"
    with LOCK:
        times = len(count.read_bytes()) if count.exists() else 0
        with count.open("ab") as file:
            file.write(b".")
    return times < int(WAYS.get(f"{name}_times", 1 << 30))


def chain(number: str = "") -> list[str]:
    found = load_pem_x509_certificates((FOLDER / f"chain{number}.pem").read_bytes())
    return [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode() for certificate in found]


def signature(request: dict[str, Any]) -> dict[str, Any]:
    if WAYS.get("secret") and os.environ.get("HSM_PIN") != WAYS["secret"]:
        return {"error": {"kind": "refused", "about": "credentials", "message": "the PIN is wrong"}}
    made = FOLDER / "made.txt"
    number = len(made.read_text().splitlines()) if made.exists() else 0
    renewed = "2" if number >= WAYS.get("rotate_after", 1 << 30) else ""
    key = load_pem_private_key((FOLDER / f"key{'2' if WAYS.get('wrong_key') else renewed}.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    if request["algorithm"] not in HASHES:
        if not WAYS.get("signs_anything"):
            return {"error": {"kind": "refused", "message": f"unknown algorithm {request['algorithm']}"}}
        return {"signature": base64.b64encode(b"anything").decode()}
    digest = base64.b64decode(request["digest"])
    if WAYS.get("hashes_again"):
        value = key.sign(digest, padding.PKCS1v15(), HASHES[request["algorithm"]])
    else:
        value = key.sign(digest, padding.PKCS1v15(), utils.Prehashed(HASHES[request["algorithm"]]))
    with LOCK, made.open("a") as file:
        file.write(f"{digest.hex()}\n")
    reply = {"signature": base64.b64encode(value).decode()}
    return {**reply, "certificates": chain(renewed)} if WAYS.get("fixed_certificate") is False else reply


def answer(request: dict[str, Any]) -> None:
    op = request["op"]
    if WAYS.get("stderr"):
        sys.stderr.write(WAYS["stderr"].replace("PIN", os.environ.get("HSM_PIN", "")) + "\n")
        sys.stderr.flush()
    if once(f"{op}_hang"):
        time.sleep(600)
    if once(f"{op}_exit"):
        sys.stdout.flush()
        os._exit(WAYS[f"{op}_exit"])
    if once(f"{op}_text"):
        return write(WAYS[f"{op}_text"])
    if once(f"{op}_error"):
        reply: dict[str, Any] = {"error": WAYS[f"{op}_error"]}
    elif op == "chain":
        said: dict[str, Any] = {
            name: WAYS[name] for name in ("concurrent", "costly", "digests", "fixed_certificate") if name in WAYS
        }
        reply = {"certificates": chain(), "alias": request.get("alias"), **said}
        time.sleep(WAYS.get("chain_seconds", 0))
    elif op == "sign":
        time.sleep(WAYS.get("sign_seconds", 0))
        reply = signature(request)
        if "signature" in reply and once("lost"):
            os._exit(9)
    else:
        reply = {"error": {"kind": "refused", "message": f"unknown op {op}"}}
    if f"{op}_answer" in WAYS and "error" not in reply:
        reply |= WAYS[f"{op}_answer"]
    number = 99 if once(f"{op}_wrong_id") else request["id"]
    return write(json.dumps({"id": number, **{key: value for key, value in reply.items() if value is not None}}))


for text in sys.stdin:
    if WAYS.get("concurrent", 1) > 1:
        threading.Thread(target=answer, args=(json.loads(text),)).start()
    else:
        answer(json.loads(text))
if WAYS.get("stays"):
    time.sleep(600)
