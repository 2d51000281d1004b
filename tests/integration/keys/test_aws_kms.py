"""Key store aws-kms against a loopback service: what signs, by which credential, with which certificate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.certificates.parse import thumbprint_of
from support.aws.server import ALIAS, Aws
from support.aws.world import ACCOUNT, REGION, ROLE, KmsKey, SigningKey
from support.certificates import rsa_key
from support.formats.peimages import build_pe
from support.key_vault.world import CONNECTION
from support.pki import Issued, ca, new_key, signer
from support.samples import Run, assert_found_in_log, kspsign, kspsign_process, osslsigncode_verify

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SIDES: dict[str, Any] = {"begin": NOW - 30 * DAY, "end": NOW + 300 * DAY}
RSA = rsa_key(2048)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    (tmp_path / "aws").mkdir()
    with Aws(tmp_path / "aws") as running:
        yield running


def fill(folder: Path, count: int = 1) -> None:
    for number in range(count):
        (folder / f"{number:02}.dll").write_bytes(build_pe(overlay=b"image %d" % number))


def options(aws: Aws, folder: Path) -> tuple[object, ...]:
    return (
        *("--key-store", "aws-kms", "--kms-key", ALIAS, "--kms-endpoint", aws.endpoint, "--no-timestamp"),
        *("--certificate", folder / "code.pem", "--trust-root", folder / "root.pem", "--store", folder / "store"),
    )


def run_in(aws: Aws, folder: Path, *more: object, environment: dict[str, str] | None = None) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (aws.keys if environment is None else environment).items():
            patch.setenv(name, value)
        return kspsign("run", "*.dll", "--folder", folder, *options(aws, folder), *more, folder=folder)


def of(folder: Path, *certificates: Issued) -> None:
    """The certificate file, in this order."""
    (folder / "code.pem").write_bytes(b"".join(issued.pem for issued in certificates))


def test_files_are_signed_and_accepted_by_a_peer(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path, 6)
    aws.publish(tmp_path, RSA, **SIDES)
    run = run_in(aws, tmp_path, "--verbose")
    assert run.code == 0, run.text
    assert len(aws.aws.signed) == run.report["totals"]["signatures_used"] == 6
    assert len(aws.of_kms("GetPublicKey")) == len(aws.of_kms("DescribeKey")) == 1
    assert ", x-amzn-requestid " in run.text
    assert_found_in_log(run, aws.aws.trail)
    assert run.report["certificate"]["alias"] == aws.aws.keys[0].arn
    peer = osslsigncode_verify(tmp_path / "00.dll", tmp_path / "root.pem")
    assert peer.accepted, peer.text


@pytest.mark.parametrize(
    ("key", "digest", "algorithm"),
    [
        (RSA, "sha256", "RSASSA_PKCS1_V1_5_SHA_256"),
        (RSA, "sha384", "RSASSA_PKCS1_V1_5_SHA_384"),
        (RSA, "sha512", "RSASSA_PKCS1_V1_5_SHA_512"),
        (new_key(), "sha256", "ECDSA_SHA_256"),
        (ec.generate_private_key(ec.SECP384R1()), "sha384", "ECDSA_SHA_384"),
        (ec.generate_private_key(ec.SECP521R1()), "sha512", "ECDSA_SHA_512"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_key_and_digest_has_its_algorithm(
    key: SigningKey, digest: str, algorithm: str, aws: Aws, tmp_path: Path
) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, key, **SIDES)
    run = run_in(aws, tmp_path, "--digest", digest)
    assert run.code == 0, run.text
    (asked,) = aws.of_kms("Sign")
    assert json.loads(asked.body)["SigningAlgorithm"] == algorithm
    assert json.loads(asked.body)["KeyId"] == aws.aws.keys[0].arn  # what an alias names may change


def test_a_digest_that_the_curve_does_not_have_is_refused_first(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, new_key(), **SIDES)
    run = run_in(aws, tmp_path, "--digest", "sha384")
    assert (run.code, run.report["error"]["code"]) == (3, "DIGEST_NOT_SUPPORTED"), run.text
    assert aws.aws.signed == []


def test_the_hosts_are_reached_by_their_names_through_the_proxy(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    aws.aws.oidc_tokens.add("a.b.c")
    (tmp_path / "token").write_text("a.b.c\n")
    role = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": ROLE,
        "AWS_ROLE_SESSION_NAME": "b 7",
    }
    run = kspsign_process(
        *("run", "*.dll", "--key-store", "aws-kms", "--no-timestamp", "--store", tmp_path / "store"),
        *("--kms-key", aws.aws.keys[0].arn, "--ca-file", tmp_path / "aws" / "azure-ca.pem"),
        *("--certificate", tmp_path / "code.pem", "--trust-root", tmp_path / "root.pem"),
        folder=tmp_path,
        environment={**aws.environment, **role},
    )
    assert run.code == 0, run.text
    assert {request.host for request in aws.record.requests} == {
        f"kms.{REGION}.amazonaws.com",
        f"sts.{REGION}.amazonaws.com",
    }
    assert aws.aws.sessions == [f"arn:aws:sts::{ACCOUNT}:assumed-role/release-signing/b-7"]


@pytest.mark.parametrize(
    "source", ["keys", "file", "azure pipelines", "github", "container", "container file", "instance"]
)
def test_every_credential_signs(source: str, aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    aws.publish(tmp_path, RSA, **SIDES)
    region = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_STS": aws.endpoint}
    environment = {
        "keys": aws.keys,
        "file": {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": ROLE},
        "azure pipelines": {**aws.pipeline_environment, "no_proxy": "127.0.0.1"},
        "github": aws.github,
        "container": aws.container,
        "container file": {**aws.container, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "container")},
        "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.endpoint},
    }[source]
    if source == "container file":
        (tmp_path / "container").write_text(environment.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
    aws.aws.oidc_tokens.add("file.token.1")
    (tmp_path / "token").write_text("file.token.1")
    by_role = source in {"azure pipelines", "github"}
    more = ("--aws-role-arn", ROLE, "--azure-connection-id", CONNECTION) if by_role else ()
    run = run_in(aws, tmp_path, *more, environment={**region, **environment})
    assert run.code == 0, run.text
    assert len(aws.aws.signed) == 2
    assert len(aws.aws.sessions) == (0 if source == "keys" else 1)
    assert not any(token in run.text for token in aws.aws.oidc_tokens)


def test_a_session_is_renewed_before_its_end(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    aws.publish(tmp_path, RSA, **SIDES)
    aws.aws.session_life = timedelta(minutes=4)  # shorter than what is left when it is renewed
    run = run_in(aws, tmp_path, "--jobs", "1", environment=aws.container)
    assert run.code == 0, run.text
    assert len(aws.aws.sessions) == 4  # one for each call


@pytest.mark.parametrize(
    ("environment", "more", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": ""}, (), "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_ACCESS_KEY_ID": ""}, (), "AWS_ACCESS_KEY_ID is not set"),
        ({"AWS_SESSION_TOKEN": "planted\nsession"}, (), "AWS_SESSION_TOKEN holds blanks, line breaks"),
        ({}, ("--aws-role-arn", ROLE), "there is no OIDC token to assume role"),
        ({}, ("--aws-role-arn", "release"), "is not an IAM role"),
        ({}, ("--kms-key", "release"), "is not a key of AWS KMS"),
        ({"AWS_REGION": ""}, (), "the region of the KMS key is not known"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
            (),
            "there is no credential for AWS",
        ),
        (
            {
                "AWS_ACCESS_KEY_ID": "",
                "AWS_SECRET_ACCESS_KEY": "",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://credentials.example/x",
            },
            (),
            "which is asked for no credential",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "x"},
            (),
            "no role to assume with it",
        ),
    ],
)
def test_what_is_set_up_by_half_is_refused_before_anybody_is_asked(
    environment: dict[str, str], more: tuple[str, ...], words: str, aws: Aws, tmp_path: Path
) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    run = run_in(aws, tmp_path, *more, environment={**aws.keys, **environment})
    assert run.code == 3, run.text
    assert words in run.text
    assert "planted" not in run.text
    assert aws.record.requests == []


def test_a_renewed_certificate_is_picked_and_said(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    root = ca("Another root", **SIDES)
    older = signer("Publisher", root, key=RSA, begin=NOW - 300 * DAY, end=NOW + 20 * DAY)
    newer = signer("Publisher", root, key=RSA, begin=NOW - DAY, end=NOW + 400 * DAY)
    coming = signer("Publisher", root, key=RSA, begin=NOW + DAY, end=NOW + 500 * DAY)
    stranger = signer("Publisher", root, key=new_key(), begin=NOW, end=NOW + 500 * DAY)
    of(tmp_path, stranger, older, coming, newer, root)
    (tmp_path / "root.pem").write_bytes(root.pem)
    run = run_in(aws, tmp_path)
    assert run.code == 0, run.text
    assert run.report["certificate"]["thumbprint"] == thumbprint_of(newer.der)
    assert "has 3 certificates; the newest valid one is used" in run.text
    again = run_in(aws, tmp_path, "--thumbprint", thumbprint_of(older.der), "--replace")
    assert again.report["certificate"]["thumbprint"] == thumbprint_of(older.der), again.text
    assert "is superseded by" in again.text


def test_a_folder_of_certificate_files_does_too(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    root = ca("Another root", **SIDES)
    folder = tmp_path / "certificates"
    folder.mkdir()
    old = signer("Publisher", root, key=RSA, begin=NOW - 300 * DAY, end=NOW - DAY)
    new = signer("Publisher", root, key=RSA, **SIDES)
    (folder / "2025.cer").write_bytes(old.der)
    (folder / "2026.crt").write_bytes(new.pem)
    (folder / "root.der").write_bytes(root.der)
    (folder / "README.txt").write_text("no certificate")
    (tmp_path / "root.pem").write_bytes(root.pem)
    run = run_in(aws, tmp_path, "--certificate", folder)
    assert (run.code, run.report["certificate"]["thumbprint"]) == (0, thumbprint_of(new.der)), run.text


def certsync(aws: Aws, folder: Path, *more: object) -> str:
    """The thumbprint that certsync prints."""
    given = [option for option in options(aws, folder) if option != "--no-timestamp"]
    at = given.index("--trust-root")
    del given[at : at + 2]
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", *map(str, ("certsync", *given, *more))],
        cwd=folder,
        env={**os.environ, **aws.keys},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_the_thumbprint_alone_leads_to_the_key_and_its_very_certificate(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    thumbprint = certsync(aws, tmp_path)
    assert aws.aws.signed == []
    first = (tmp_path / "code.pem").read_bytes()
    newer = signer("Publisher", ca("Another root", **SIDES), key=RSA, begin=NOW - DAY, end=NOW + 400 * DAY)
    (tmp_path / "code.pem").write_bytes(newer.pem + first)
    other = aws.aws.add(rsa_key(2048), "release")  # the alias is moved to another key meanwhile
    run = kspsign_process(
        *("run", "*.dll", "--thumbprint", thumbprint, "--no-timestamp", "--store", tmp_path / "store"),
        *("--trust-root", tmp_path / "root.pem"),
        folder=tmp_path,
        environment=aws.keys,
    )
    assert run.code == 0, run.text
    assert run.file["certificate"] == thumbprint
    assert other.arn not in str([request.body for request in aws.record.requests])
    (tmp_path / "code.pem").write_bytes(newer.pem)
    gone = kspsign_process(
        *("run", "*.dll", "--thumbprint", thumbprint, "--no-timestamp", "--store", tmp_path / "store", "--replace"),
        *("--trust-root", tmp_path / "root.pem"),
        folder=tmp_path,
        environment=aws.keys,
    )
    assert (gone.code, gone.report["error"]["code"]) == (5, "CERTIFICATE_FILE"), gone.text
    assert len(aws.aws.signed) == 1


def test_a_moved_alias_is_noticed_before_a_signature(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    aws.aws.add(rsa_key(2048), "release")
    run = run_in(aws, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, "KEY_MISMATCH"), run.text
    assert "Cloud publisher" in run.text
    assert "(RSA 2048 bits)" in run.text
    assert aws.aws.signed == []


def test_without_the_right_to_describe_the_key_it_signs_all_the_same(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    aws.aws.allowed = frozenset({"GetPublicKey", "Sign"})
    run = run_in(aws, tmp_path)
    assert run.code == 0, run.text


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"state": "Disabled"}, "AWS_KMS_DISABLED", "is disabled"),
        ({"state": "PendingDeletion"}, "AWS_KMS_STATE", "pending deletion"),
        ({"state": "PendingImport", "origin": "EXTERNAL"}, "AWS_KMS_STATE", "pending import"),
        ({"state": "Unavailable"}, "AWS_KMS_STATE", "unavailable"),
        ({"usage": "ENCRYPT_DECRYPT"}, "AWS_KMS_USAGE", "can't sign code"),
        ({"key": ec.generate_private_key(ec.SECP256K1())}, "AWS_KMS_USAGE", "ECC_SECG_P256K1"),
    ],
)
def test_a_key_that_can_t_sign_is_refused_first(
    changes: dict[str, Any], code: str, words: str, aws: Aws, tmp_path: Path
) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, RSA, **SIDES)
    key: KmsKey = aws.aws.keys[0]
    for name, value in changes.items():
        setattr(key, name, value)
    run = run_in(aws, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, code), run.text
    assert words in run.text
    assert aws.aws.signed == []


def test_the_budget_bounds_what_is_asked_for(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path, 4)
    aws.publish(tmp_path, RSA, **SIDES)
    run = run_in(aws, tmp_path, "--max-signatures", "3")
    assert (run.code, run.report["totals"]["signed"]) == (1, 3), run.text
    assert len(aws.of_kms("Sign")) == 3
