"""The doctor on Windows: what it finds when all is there, and what it says of each thing that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12

from windows_lab.machine import CREDENTIALS, Windows

OPTIONS = ("--key-store", "windows", "--keypair-alias", "Contoso-Release", "--tool-env", "WINLAB")
ENVIRONMENT = ("--tool-env", "WINLAB_STATE")


@pytest.fixture
def client(windows: Windows) -> Windows:
    """A Windows with a real client certificate in SM_CLIENT_CERT_FILE."""
    key = load_pem_private_key((windows.lab / "pki" / "tsa.key").read_bytes(), None)
    assert isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
    certificate = x509.load_pem_x509_certificate((windows.lab / "pki" / "tsa.crt").read_bytes())
    password = CREDENTIALS["SM_CLIENT_CERT_PASSWORD"].encode()
    content = pkcs12.serialize_key_and_certificates(
        b"client", key, certificate, None, BestAvailableEncryption(password)
    )
    (windows.root / "client.p12").write_bytes(content)
    return windows


def doctor(windows: Windows, url: str, *more: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """The exit code, the findings by name, and all output."""
    ended = windows.kspsign("doctor", "--json", "--timestamp-url", url, *OPTIONS, *ENVIRONMENT, *more)
    content = json.loads(ended.stdout)
    return ended.exit_code, {each["name"]: each for each in content["checks"]}, ended.output


def test_nothing_is_missing(client: Windows, timestamp_url: str) -> None:
    client.certsync("Contoso-Release")
    code, found, output = doctor(client, timestamp_url)
    assert code == 0, output
    assert {each["state"] for each in found.values()} == {"ok"}
    assert set(found) == {
        *("python", "windows", "signtool", "smctl", "SM_HOST", "SM_API_KEY", "SM_CLIENT_CERT_PASSWORD"),
        *("SM_CLIENT_CERT_FILE", "service", "key storage provider", "key pair alias", "certificate"),
        "timestamp server",
    }
    assert "lab-" not in output
    assert "lab*" not in output


def wrong_key(windows: Windows) -> None:
    windows.environment["SM_API_KEY"] = "wrong"


def no_key(windows: Windows) -> None:
    del windows.environment["SM_API_KEY"]


def wrong_password(windows: Windows) -> None:
    windows.environment["SM_CLIENT_CERT_PASSWORD"] += "?"


def no_ksp(windows: Windows) -> None:
    assert windows.smctl("windows", "ksp", "unregister").exit_code == 0


def nothing(_windows: Windows) -> None:
    """The options are wrong, not the machine."""


@pytest.mark.parametrize(
    ("spoil", "options", "name", "said"),
    [
        (wrong_key, (), "service", "not connected"),
        (no_key, (), "SM_API_KEY", "is not set"),
        (wrong_password, (), "SM_CLIENT_CERT_FILE", "its password is wrong"),
        (no_ksp, (), "key storage provider", "no KSP is registered"),
        (nothing, ("--csp", "DigiCert signing manager KSP"), "key storage provider", "Did you mean"),
        (nothing, ("--keypair-alias", "contoso-release"), "key pair alias", "Did you mean Contoso-Release?"),
        (nothing, ("--keypair-alias", "contoso-release"), "certificate", "Did you mean Contoso-Release?"),
        (nothing, ("--keypair-alias", "Contoso-EC"), "certificate", "certsync"),
        (nothing, ("--smctl", "C:\\nowhere"), "smctl", "--smctl"),
        (nothing, ("--signtool", "C:\\nowhere"), "signtool", "--signtool"),
        (nothing, ("--timestamp-url", "http://127.0.0.1:9/"), "timestamp server", "no timestamp"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    client: Windows, spoil: Callable[[Windows], None], options: tuple[str, ...], name: str, said: str
) -> None:
    client.certsync("Contoso-Release")
    spoil(client)
    code, found, output = doctor(client, "http://127.0.0.1:9/", *options)
    assert code == 5, output
    assert found[name]["state"] == "missing"
    assert said in f"{found[name]['detail']} {found[name]['remedy']}"
    assert found[name]["remedy"]
