"""Key stores of this machine, each arranged for a situation: embedded, pkcs12, pkcs11, command, windows."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.issue import issue_leaf
from support import softhsm
from support.certificates import rsa_key
from support.doctor.run import Given
from support.key_command.world import PIN, KeyCommand
from support.key_command.world import PIN_VARIABLE as PROGRAM_PIN_VARIABLE
from support.pki import Issued, ca, signer
from support.softhsm import PIN_VARIABLE

NOW = datetime.now(UTC)
LIVES: dict[str, Any] = {"begin": NOW - timedelta(days=40), "end": NOW + timedelta(days=300)}
ENDS = {"expired": NOW - timedelta(days=3), "near expiry": NOW + timedelta(days=12)}
SECRET = "planted.Secret-4f2e"  # noqa: S105 - made in the test
WHOLE = NOW + timedelta(days=300)


def embedded(folder: Path, situation: str, authority: EmbeddedAuthority) -> Given:
    """The keys of a first run, which was long enough ago."""
    store = folder / "store" / "embedded"
    if situation != "nothing set":
        age = {"expired": 400, "near expiry": 355}.get(situation, 0)
        leaf = issue_leaf(authority.intermediate, authority.leaf.key, NOW - timedelta(days=age))
        store.mkdir(parents=True)
        keyed = {"root": authority.root, "intermediate": authority.intermediate, "leaf": leaf}
        for role, held in {**keyed, "timestamp": authority.timestamp}.items():
            (store / f"{role}.pem").write_bytes(held.certificate.public_bytes(Encoding.PEM))
            key = held.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (store / f"{role}.key").write_bytes(key)
    return Given(("--key-store", "embedded", "--store", folder / "store"))


def pkcs12_file(folder: Path, situation: str) -> Given:
    """A file of an in-house CA; its root is trusted unless the situation is that it is not."""
    root = ca("In-house root", **LIVES)
    key = rsa_key(2048)
    leaf = signer("In-house publisher", root, key=key, begin=LIVES["begin"], end=ENDS.get(situation, WHOLE))
    newer = signer("In-house publisher", root, key=key, begin=NOW - timedelta(days=1), end=WHOLE)
    more = [newer.certificate] if situation == "superseded" else []
    path = folder / "key.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"publisher", key, leaf.certificate, [*more, root.certificate], BestAvailableEncryption(SECRET.encode())
        )
    )
    (folder / "root.pem").write_bytes(root.pem)
    if situation == "nothing set":
        return Given(("--key-store", "pkcs12"))
    named = folder / "other.p12" if situation == "wrong alias" else folder if situation == "no permission" else path
    trust = () if situation == "private CA" else ("--trust-root", folder / "root.pem")
    password = {"macro": "$(P12_PASSWORD)", "wrong secret": "stale"}.get(situation, SECRET)
    return Given(
        ("--key-store", "pkcs12", "--pkcs12", named, "--password-env", "P12_PASSWORD", *trust),
        {"P12_PASSWORD": password},
    )


def pkcs11(folder: Path, situation: str) -> Given:
    """A token of SoftHSM with a key for each situation."""
    token = softhsm.create(folder / "token", "signing token")
    root, key = ca("Token root", **LIVES), rsa_key(2048)
    token.import_key(key, "release", "01")
    older = signer("Token publisher", root, key=key, begin=LIVES["begin"], end=ENDS.get(situation, WHOLE))
    token.import_certificate(older, "release", "01")
    if situation == "superseded":
        newer = signer("Token publisher", root, key=key, begin=NOW - timedelta(days=1), end=WHOLE)
        token.import_certificate(newer, "release", "01")
    if situation == "no permission":
        token.forbid_signing("release")
    (folder / "root.pem").write_bytes(root.pem)
    if situation == "nothing set":
        return Given(("--key-store", "pkcs11"))
    if situation == "disabled":
        shutil.rmtree(folder / "token" / "tokens")
        (folder / "token" / "tokens").mkdir()
    alias = "Release" if situation == "wrong alias" else "release"
    pins = {"macro": "$(TOKEN_PIN)", "wrong secret": "0000-stale"}
    environment = {**token.environment, **({PIN_VARIABLE: pins[situation]} if situation in pins else {})}
    trust = () if situation == "private CA" else ("--trust-root", folder / "root.pem")
    module = folder / "gone.so" if situation == "no network" else softhsm.LIBRARY
    return Given((*token.options(alias, module), *trust), environment)


_SMCTL = '''#!{python} -I
"""smctl as DigiCert's manual shows it: healthcheck, and the table of keypair ls."""
import sys
words = sys.argv[1:]
if words == ["healthcheck"]:
    print("Account\\n  Status: {status}\\n  Username: ci.signer")
    print("  API key: 01a2...77 (Pulled from environment variable)")
    print("Privileges\\n  Can sign: {may}")
    sys.exit(0 if "{status}" == "Connected" else 1)
if words == ["keypair", "ls"]:
    print("ID                KEY MODAL TYPE  ALIAS    ALGORITHM & SIZE  STATUS   TYPE")
    print("9c5e6a52-0001     STATIC          Release  RSA 3072          {online}  PRODUCTION")
    sys.exit(0)
sys.exit("unknown command")
'''


def windows(folder: Path, situation: str) -> Given:
    """A client installation whose programs are found, and a certificate's file: what can be seen off Windows too."""
    online = "OFFLINE" if situation == "disabled" else "ONLINE"
    status = "Not connected" if situation in {"wrong secret", "no network"} else "Connected"
    may = "No" if situation == "no permission" else "Yes"
    smctl = folder / "smctl"
    smctl.write_text(_SMCTL.format(python=sys.executable, status=status, may=may, online=online), encoding="utf-8")
    smctl.chmod(0o755)
    root = ca("KeyLocker root", **LIVES)
    leaf = signer("Publisher", root, begin=LIVES["begin"], end=ENDS.get(situation, WHOLE))
    (folder / "code.pem").write_bytes(leaf.pem + root.pem)
    (folder / "root.pem").write_bytes(root.pem)
    if situation == "nothing set":
        return Given(("--key-store", "windows", "--smctl", folder / "gone"))
    client = _client_file(folder, root)
    alias = "release" if situation == "wrong alias" else "Release"
    trust = () if situation == "private CA" else ("--trust-root", folder / "root.pem")
    credentials = {
        "SM_HOST": "https://clientauth.one.digicert.com",
        "SM_API_KEY": "$(SM_API_KEY)" if situation == "macro" else SECRET,
        "SM_CLIENT_CERT_FILE": str(client),
        "SM_CLIENT_CERT_PASSWORD": SECRET,
    }
    return Given(
        ("--key-store", "windows", "--smctl", smctl, "--keypair-alias", alias, "--certificate", folder / "code.pem",
         *trust),
        credentials,
    )  # fmt: skip


def command(folder: Path, situation: str) -> Given:
    """A program that signs at no cost, and says what is wrong with its key."""
    errors = {
        "wrong alias": ("key", "no key Release; there is release"),
        "disabled": ("key", "the slot is locked"),
        "no network": ("host", "hsm.example did not answer"),
    }
    program = KeyCommand.create(folder / "program", ENDS.get(situation))
    ways: dict[str, object] = {"costly": False, "secret": PIN}
    if situation in errors:
        about, message = errors[situation]
        ways["chain_error"] = {"kind": "refused", "about": about, "message": message}
    if situation == "no permission":
        # What it does not know it refuses as well, and about the same.
        ways["sign_error"] = {"kind": "refused", "about": "permission", "message": "this user may not sign"}
    program.behave(**ways)
    if situation == "nothing set":
        return Given(("--key-store", "command"))
    trust = () if situation == "private CA" else program.trust
    pins = {"macro": f"$({PROGRAM_PIN_VARIABLE})", "wrong secret": "0000-stale"}
    return Given((*program.options, *trust), {PROGRAM_PIN_VARIABLE: pins.get(situation, PIN)})


def _client_file(folder: Path, root: Issued) -> Path:
    issued = signer("client", root, begin=LIVES["begin"], end=WHOLE)
    path = folder / "client.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            None, issued.key, issued.certificate, None, BestAvailableEncryption(SECRET.encode())
        )
    )
    return path


def arranged(store: str, folder: Path, situation: str, authority: EmbeddedAuthority) -> Given:
    """What a step gives in that situation."""
    if store == "embedded":
        return embedded(folder, situation, authority)
    return {"pkcs12": pkcs12_file, "pkcs11": pkcs11, "command": command, "windows": windows}[store](folder, situation)
