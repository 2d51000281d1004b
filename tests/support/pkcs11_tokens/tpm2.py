"""tpm2-pkcs11 with a TPM in software (swtpm), shared by the resource manager that a distribution has for it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from support.certificates import rsa_key
from support.pkcs11_tokens.daemons import free_pair, is_listening, running, until
from support.pkcs11_tokens.token import Publisher, TokenUnderTest, administer, installed

PIN, _SO_PIN = "tpm-planted-1618", "tpm-officer"
_LABEL = "tpm token"


@contextlib.contextmanager
def create(folder: Path) -> Iterator[tuple[TokenUnderTest, TokenUnderTest]]:
    """A TPM with a token, as long as the block runs: with a key that one login is enough for, and with one that wants
    a login for each signature. They are the same key, of which the certificate is there once."""
    publisher = Publisher.create(folder, rsa_key(2048))
    store, certificate = folder / "store", folder / "certificate.pem"
    store.mkdir()
    certificate.write_bytes(publisher.issued.pem)
    with _resource_manager(folder) as manager:
        environment = {**manager, "TPM2_PKCS11_STORE": str(store)}

        def ptool(*arguments: object) -> None:
            administer("tpm2_ptool", *arguments, f"--path={store}", environment=environment)

        token, pin = f"--label={_LABEL}", f"--userpin={PIN}"
        what = ("--algorithm=rsa", f"--privkey={publisher.key}")
        ptool("init")
        ptool("addtoken", "--pid=1", token, pin, f"--sopin={_SO_PIN}")
        ptool("import", token, "--key-label=release", pin, *what)
        ptool("import", token, "--key-label=each", "--attr-always-authenticate", pin, *what)
        ptool("addcert", token, "--key-label=release", certificate)
        once = TokenUnderTest(
            installed("pkcs11/libtpm2_pkcs11.so", "libtpm2-pkcs11-1"),
            _LABEL,
            ("--keypair-alias", "release"),
            PIN,
            publisher.root,
            environment,
            wrong_pins=lambda: _wrong_pins(environment),
        )
        yield once, replace(once, key=("--keypair-alias", "each"))


def _wrong_pins(environment: Mapping[str, str]) -> int:
    """What the TPM counts towards its lock-out (TPM_PT_LOCKOUT_COUNTER); time alone sets it back."""
    properties = administer("tpm2_getcap", "properties-variable", environment=environment)
    found = re.search(r"TPM2_PT_LOCKOUT_COUNTER: (0x[0-9A-F]+)", properties, re.IGNORECASE)
    assert found is not None, properties
    return int(found[1], 16)


@contextlib.contextmanager
def _resource_manager(folder: Path) -> Iterator[dict[str, str]]:
    """A TPM, and tpm2-abrmd on a bus of its own; the variables by which they are found."""
    state, port, bus = folder / "state", free_pair(), f"unix:path={folder / 'bus'}"
    state.mkdir()
    channel = "tabrmd:bus_type=session"
    found = {"DBUS_SESSION_BUS_ADDRESS": bus, "TPM2_PKCS11_TCTI": channel, "TPM2TOOLS_TCTI": channel}
    emulator = ("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear")
    ports = ("--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}")
    manager = ("/usr/sbin/tpm2-abrmd", "--session", "--allow-root", f"--tcti=swtpm:host=127.0.0.1,port={port}")
    with (
        running("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}") as daemon,
        running(*emulator, *ports) as tpm,
    ):
        until((folder / "bus").exists, daemon)
        until(lambda: is_listening(port), tpm)
        with running(*manager, environment=found) as broker:
            until(lambda: _answers(found), broker)
            yield found


def _answers(environment: Mapping[str, str]) -> bool:
    asked = ["tpm2_getcap", "properties-fixed"]
    return not subprocess.run(asked, env={**os.environ, **environment}, capture_output=True, check=False).returncode
