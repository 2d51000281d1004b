"""The programs of docs/reference/command-key-store.md, saved as they are: driven by hand, examined, and signing."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import pkcs12 as pfx

from kspsign.keys.command.messages import key_command_schema
from support.certificates import rsa_key
from support.doctor.run import Given, doctor
from support.documentation.reading import blocks
from support.formats.peimages import build_pe
from support.key_command.world import LIVES
from support.pki import ca, new_key, signer
from support.samples import kspsign_process, osslsigncode_verify

PAGE = "docs/reference/command-key-store.md"
PASSWORD = "of this test-1"  # noqa: S105 - of a throw-away key


@dataclass(frozen=True)
class Program:
    """A program of the page with a key: its words, its variables, and the root to trust."""

    words: tuple[str, ...]
    environment: dict[str, str]
    leaf: x509.Certificate
    root: Path

    @property
    def options(self) -> tuple[str, ...]:
        first, *arguments = self.words
        given = [word for argument in arguments for word in ("--key-command-arg", argument)]
        given += [word for name in self.environment for word in ("--key-command-env", name)]
        return ("--key-store", "command", "--key-command", first, *given, "--trust-root", str(self.root))

    def talk(self, *requests: str) -> list[dict[str, Any]]:
        """The answers to these lines, by hand."""
        lines, environment = "".join(f"{line}\n" for line in requests), {"PATH": "/usr/bin:/bin", **self.environment}
        done = subprocess.run(
            self.words, input=lines, env=environment,
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]


def example(language: str) -> str:
    """The one program of the page in that language."""
    first = {"python": '"""A key store', "sh": "#!/bin/sh"}[language]
    (text,) = [block.text for block in blocks() if block.page == PAGE and block.text.startswith(first)]
    return text


@pytest.fixture(params=["python, PKCS#12", "python, PEM", "python, EC", "shell", "shell, EC"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    kind = str(request.param)
    key = new_key() if "EC" in kind else rsa_key(2048)
    root = ca("Example root", **LIVES)
    issued = signer("Example publisher", root, key=key, **LIVES)
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "chain.pem").write_bytes(issued.pem + root.pem)
    if kind.startswith("shell"):
        path = tmp_path / "sign.sh"
        path.write_text(example("sh"), encoding="utf-8")
        path.chmod(0o755)
        (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        words = (str(path), str(tmp_path / "key.pem"), str(tmp_path / "chain.pem"))
        return Program(words, {}, issued.certificate, tmp_path / "root.pem")
    (tmp_path / "sign.py").write_text(example("python"), encoding="utf-8")
    encryption = BestAvailableEncryption(PASSWORD.encode())
    file = tmp_path / "code"
    if kind == "python, PEM":
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption) + issued.pem + root.pem)
    else:
        cas = [root.certificate]
        file.write_bytes(pfx.serialize_key_and_certificates(b"code", key, issued.certificate, cas, encryption))
    words = (sys.executable, str(tmp_path / "sign.py"), str(file))
    return Program(words, {"P12_PASSWORD": PASSWORD}, issued.certificate, tmp_path / "root.pem")


def test_driven_by_hand_it_answers_as_the_page_says(program: Program) -> None:
    digest = hashlib.sha256(b"content").digest()
    sign = {"id": 8, "op": "sign", "algorithm": "sha256", "digest": base64.b64encode(digest).decode()}
    asked = [
        {"id": 7, "op": "chain", "protocol": 1},
        sign,
        {**sign, "id": 9, "algorithm": "md5"},
        {"id": 10, "op": "other"},
    ]
    chain, signed, unknown, other = program.talk(*(json.dumps(line, separators=(",", ":")) for line in asked))
    schema = key_command_schema()
    for answer in (chain, signed, unknown, other):
        jsonschema.validate(answer, schema)
    assert [path["id"] for path in (chain, signed, unknown, other)] == [7, 8, 9, 10]
    assert x509.load_der_x509_certificate(base64.b64decode(chain["certificates"][0])) == program.leaf
    assert len(chain["certificates"]) == 2
    public, value = program.leaf.public_key(), base64.b64decode(signed["signature"])
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(value, digest, padding.PKCS1v15(), utils.Prehashed(SHA256()))
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(value, digest, ec.ECDSA(utils.Prehashed(SHA256())))
    assert unknown["error"]["kind"] == other["error"]["kind"] == "refused"


def test_the_doctor_finds_no_fault_and_a_run_signs(program: Program, tmp_path: Path) -> None:
    found = doctor(Given((*program.options, "--no-timestamp"), program.environment), tmp_path)
    assert found.code == 0, found.text
    assert not [check for check in found.checks if check["state"] == "warning"], found.text
    for number in range(3):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    run = kspsign_process(
        "run", "*.dll", *program.options, "--no-timestamp", "--store", tmp_path / "store", folder=tmp_path,
        environment=program.environment,
    )  # fmt: skip
    assert (run.code, run.report["totals"]["signatures_used"]) == (0, 3), run.text
    assert osslsigncode_verify(tmp_path / "0.dll", program.root).accepted


def test_a_missing_key_or_password_is_refused_in_its_words(program: Program, tmp_path: Path) -> None:
    wrong = dict.fromkeys(program.environment, "stale")
    if not wrong:
        (tmp_path / "key.pem").unlink()
    found = doctor(Given((*program.options, "--no-timestamp"), wrong), tmp_path)
    words = found.said("sign-in", "failed") if wrong else found.said("key", "failed")
    assert ("P12_PASSWORD" if wrong else "can not be read") in words, found.text
    assert found.code == 5


@pytest.mark.parametrize(
    "answer",
    [
        {"certificates": ["AA=="]},
        {"id": "1", "certificates": ["AA=="]},
        {"id": 1, "certificates": []},
        {"id": 1, "certificates": ["AA=="], "concurrent": 0},
        {"id": 1, "signature": 5},
        {"id": 1, "error": {"kind": "other", "message": "x"}},
        {"id": 1, "error": {"kind": "busy"}},
        {"id": 1},
    ],
)
def test_the_schema_refuses_what_the_protocol_does(answer: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, key_command_schema())
