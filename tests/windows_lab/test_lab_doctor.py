"""The doctor on Windows: what it finds when all is there, and what it says of each thing that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12

from windows_lab.issuing import renew
from windows_lab.machine import CREDENTIALS, Ended, Windows

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
    options = ("--timestamp-url", url, "--trust-root", windows.trust_root, *OPTIONS, *ENVIRONMENT)
    ended = windows.kspsign("doctor", "--json", *options, *more)
    content = json.loads(ended.stdout)
    return ended.exit_code, {check["name"]: check for check in content["checks"]}, ended.output


def test_nothing_is_missing(client: Windows, timestamp_url: str) -> None:
    client.certsync("Contoso-Release")
    code, found, output = doctor(client, timestamp_url)
    assert code == 0, output
    made = {name for name, check in found.items() if check["state"] == "ok"}
    assert made == {
        *("python", "proxy", "CA certificates", "trust roots", "trust roots of Microsoft's program", "key store"),
        *("windows", "signtool", "smctl", "credentials", "client certificate", "sign-in", "permission"),
        *("key storage provider", "key", "certificate", "newer certificate", "certificate chain"),
        *("timestamp server", "clock"),
    }
    unmade = {name for name, check in found.items() if check["state"] == "not checked"}
    assert unmade == {"configuration file", "files", "signatures left", "test signature"}
    assert set(found) == made | unmade
    assert "lab-" not in output
    assert "lab*" not in output


class TestTwoCertificatesOfOneKey:
    """A renewed certificate lies beside the one that it follows."""

    def test_the_newest_valid_one_is_used_and_the_other_named(self, client: Windows, timestamp_url: str) -> None:
        older, newer = client.certsync("Contoso-Release").thumbprint, renew(client, "Contoso-Release")
        code, found, output = doctor(client, timestamp_url)
        assert code == 0, output
        assert found["newer certificate"]["state"] == "ok"
        used, _, unused = found["newer certificate"]["detail"].partition("; not used: ")
        assert "the newest valid one with a private key is used" in used
        assert (newer in used, older in unused) == (True, True), output
        client.program("app.exe")
        ended = sign(client, timestamp_url, "--keypair-alias", "Contoso-Release")
        assert ended.exit_code == 0, ended.output
        assert report(client)["certificate"]["thumbprint"] == newer
        assert found["newer certificate"]["detail"] in ended.output

    def test_the_older_one_that_is_named_signs_and_is_called_superseded(
        self, client: Windows, timestamp_url: str
    ) -> None:
        older, newer = client.certsync("Contoso-Release").thumbprint, renew(client, "Contoso-Release")
        code, found, output = doctor(client, timestamp_url, "--thumbprint", older)
        assert code == 0, output
        assert found["newer certificate"]["state"] == "warning"
        assert f"{older} is superseded by {newer}" in found["newer certificate"]["detail"]
        client.program("app.exe")
        ended = sign(client, timestamp_url, "--thumbprint", older)
        assert ended.exit_code == 0, ended.output
        assert report(client)["certificate"]["thumbprint"] == older
        assert [warning["code"] for warning in report(client)["warnings"]] == ["CERTIFICATE_SUPERSEDED"]

    def test_a_newer_one_without_its_key_is_passed_over(self, client: Windows, timestamp_url: str) -> None:
        older = client.certsync("Contoso-Release").thumbprint
        newer = renew(client, "Contoso-Release", linked=False)
        code, found, output = doctor(client, timestamp_url)
        assert code == 0, output
        assert newer not in found["newer certificate"]["detail"], "it has neither name nor key: it is not of this alias"
        assert found["certificate"]["state"] == "ok"
        client.program("app.exe")
        assert sign(client, timestamp_url, "--keypair-alias", "Contoso-Release").exit_code == 0
        assert report(client)["certificate"]["thumbprint"] == older


def sign(windows: Windows, url: str, *key: str) -> Ended:
    """Sign app.exe with the certificate that `key` names."""
    return windows.kspsign(
        *("run", "app.exe", "--key-store", "windows", "--timestamp-url", url, "--trust-root", windows.trust_root),
        *("--store", "store", "--report", "report.json", "--tool-env", "WINLAB", *ENVIRONMENT, *key),
    )


def report(windows: Windows) -> dict[str, Any]:
    """The JSON report of the last run."""
    content: dict[str, Any] = json.loads((windows.folder / "report.json").read_text(encoding="utf-8"))
    return content


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
        (wrong_key, (), "sign-in", "not connected"),
        (no_key, (), "credentials", "SM_API_KEY is not set"),
        (wrong_password, (), "client certificate", "its password is wrong"),
        (no_ksp, (), "key storage provider", "no KSP is registered"),
        (nothing, ("--csp", "DigiCert signing manager KSP"), "key storage provider", "Did you mean"),
        (nothing, ("--keypair-alias", "contoso-release"), "key", "Did you mean Contoso-Release?"),
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
    assert found[name]["state"] == "failed"
    assert said in f"{found[name]['detail']} {found[name]['remedy']}"
    assert found[name]["remedy"]
