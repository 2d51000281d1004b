"""The AWS stand-in as AWS's own client meets it (boto3), what it refuses, and that our requests are that client's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.session import Session
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from support.aws.server import ALIAS, Aws
from support.aws.world import ACCESS_KEY, INSTANCE_ROLE, REGION, ROLE, SECRET_KEY, KmsKey
from support.certificates import rsa_key
from support.formats.peimages import build_pe
from support.pki import new_key
from support.samples import kspsign_process

DIGEST = hashlib.sha256(b"content").digest()
SIGN = {"KeyId": ALIAS, "Message": DIGEST, "MessageType": "DIGEST", "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}
NO_RETRY = Config(retries={"total_max_attempts": 1}, proxies={})


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    with Aws(tmp_path) as running:
        yield running


@pytest.fixture
def key(aws: Aws) -> KmsKey:
    return aws.aws.add(rsa_key(2048), "release")


def client(aws: Aws, service: str = "kms", **given: Any) -> Any:
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION, **given}
    return boto3.client(service, endpoint_url=aws.endpoint, config=NO_RETRY, **keys)


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_boto3_gets_the_key_and_signatures_that_hold(aws: Aws, key: KmsKey) -> None:
    kms = client(aws)
    described = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]
    assert (described["Arn"], described["KeyState"], described["Enabled"]) == (key.arn, "Enabled", True)
    shown = kms.get_public_key(KeyId=key.arn)
    assert (shown["KeySpec"], shown["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY")
    public = load_der_public_key(shown["PublicKey"])
    assert isinstance(public, rsa.RSAPublicKey)
    signed = kms.sign(**SIGN)
    assert signed["KeyId"] == key.arn
    public.verify(signed["Signature"], DIGEST, PKCS1v15(), Prehashed(SHA256()))
    raw = kms.sign(KeyId=key.id, Message=b"content", SigningAlgorithm="RSASSA_PSS_SHA_256")
    pss = PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH)
    public.verify(raw["Signature"], DIGEST, pss, Prehashed(SHA256()))
    assert aws.aws.signed == [DIGEST.hex()] * 2


def test_boto3_lists_keys_and_aliases_in_pages_and_has_signatures_verified(aws: Aws, key: KmsKey) -> None:
    other = aws.aws.add(new_key(), "curve")
    kms = client(aws)
    pages = [*kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1})]
    assert [[found["KeyId"] for found in page["Keys"]] for page in pages] == [[key.id], [other.id]]
    assert [found["AliasName"] for found in kms.list_aliases()["Aliases"]] == [ALIAS, "alias/curve"]
    assert [found["TargetKeyId"] for found in kms.list_aliases(KeyId=other.arn)["Aliases"]] == [other.id]
    signature = kms.sign(**SIGN)["Signature"]
    assert kms.verify(**SIGN, Signature=signature)["SignatureValid"] is True
    wrong = {**SIGN, "Message": hashlib.sha256(b"other").digest(), "Signature": signature}
    assert refused(kms.verify, **wrong) == "KMSInvalidSignatureException"


def test_boto3_gets_signatures_of_elliptic_curves(aws: Aws) -> None:
    aws.aws.add(new_key(), "curve")
    kms = client(aws)
    public = load_der_public_key(kms.get_public_key(KeyId="alias/curve")["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    value = kms.sign(**{**SIGN, "KeyId": "alias/curve", "SigningAlgorithm": "ECDSA_SHA_256"})["Signature"]
    public.verify(value, DIGEST, ec.ECDSA(Prehashed(SHA256())))
    assert refused(kms.sign, **{**SIGN, "KeyId": "alias/curve"}) == "InvalidKeyUsageException"


def test_boto3_s_dry_run_makes_no_signature(aws: Aws, key: KmsKey) -> None:
    assert refused(client(aws).sign, **SIGN, DryRun=True) == "DryRunOperationException"
    assert (aws.aws.signed, aws.aws.dry) == ([], [DIGEST.hex()])
    assert key.state == "Enabled"


def test_boto3_assumes_the_role_and_says_who_it_is(aws: Aws, key: KmsKey) -> None:
    aws.aws.oidc_tokens.add("a.b.c")
    anonymous = client(aws, "sts")
    given = anonymous.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="tests", WebIdentityToken="a.b.c")
    keys = given["Credentials"]
    assert keys["Expiration"] > datetime.now(UTC)
    session = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }
    assert client(aws, "sts", **session).get_caller_identity()["Arn"].endswith("assumed-role/release-signing/tests")
    assert client(aws, **session).sign(**SIGN)["KeyId"] == key.arn
    by_user = client(aws, "sts").assume_role(RoleArn=ROLE, RoleSessionName="user")["AssumedRoleUser"]["Arn"]
    assert by_user.endswith("assumed-role/release-signing/user")
    of_nobody = {"RoleArn": ROLE, "RoleSessionName": "tests", "WebIdentityToken": "x.y.z"}
    assert refused(anonymous.assume_role_with_web_identity, **of_nobody) == "InvalidIdentityToken"
    wrong = {"aws_secret_access_key": "another"}
    assert refused(client(aws, "sts", **wrong).get_caller_identity) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("place", ["container", "instance"])
def test_botocore_finds_the_machine_s_credential(
    place: str, aws: Aws, key: KmsKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    environment = aws.container if place == "container" else {"AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.endpoint}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = Session()
    kms = session.create_client("kms", region_name=REGION, endpoint_url=aws.endpoint, config=NO_RETRY)
    assert kms.sign(**SIGN)["KeyId"] == key.arn
    assert aws.aws.sessions[0].endswith("task/container" if place == "container" else f"{INSTANCE_ROLE}/i-0abc")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_secret_access_key": "another"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
        ({"aws_session_token": "surplus"}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-1"}, "InvalidSignatureException"),
    ],
)
def test_another_signer_is_refused(change: dict[str, str], code: str, aws: Aws, key: KmsKey) -> None:
    assert refused(client(aws, **change).sign, **SIGN) == code
    assert aws.aws.signed == []
    assert key.state == "Enabled"


@pytest.mark.parametrize("minutes", [-10, 10])
def test_another_clock_is_refused(minutes: int, aws: Aws, key: KmsKey) -> None:
    aws.aws.offset = timedelta(minutes=minutes)
    assert refused(client(aws).sign, **SIGN) == "InvalidSignatureException"
    assert key.state == "Enabled"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"KeyId": "alias/other"}, "NotFoundException"),
        ({"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}, "NotFoundException"),
        ({"KeyId": f"arn:aws:kms:eu-west-1:111122223333:{ALIAS}"}, "NotFoundException"),
        ({"Message": b"short"}, "ValidationException"),
        ({"SigningAlgorithm": "ECDSA_SHA_256"}, "InvalidKeyUsageException"),
    ],
)
def test_a_wrong_request_is_refused(change: dict[str, Any], code: str, aws: Aws, key: KmsKey) -> None:
    assert refused(client(aws).sign, **{**SIGN, **change}) == code
    assert aws.aws.signed == []
    assert key.state == "Enabled"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("Disabled", "DisabledException"),
        ("PendingDeletion", "KMSInvalidStateException"),
        ("PendingImport", "KMSInvalidStateException"),
    ],
)
def test_a_key_in_another_state_is_refused(state: str, code: str, aws: Aws, key: KmsKey) -> None:
    key.state = state
    assert refused(client(aws).sign, **SIGN) == code
    assert refused(client(aws).get_public_key, KeyId=ALIAS) == code
    assert client(aws).describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyState"] == state


def _signed_by_botocore(aws: Aws, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    request = AWSRequest("POST", f"{aws.endpoint}/", headers=dict(headers), data=body)
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "kms", REGION).add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize(
    "fault", ["none", "body", "unsigned target", "unsigned header", "no date", "no signature", "cut", "GET", "path"]
)
def test_a_signature_over_something_else_is_refused(fault: str, aws: Aws, key: KmsKey) -> None:
    """Each change is made after, or left out before, botocore has signed."""
    body = json.dumps({"KeyId": ALIAS}).encode()
    target = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.DescribeKey"}
    first = {"Content-Type": target["Content-Type"]} if fault == "unsigned target" else target
    headers = {**_signed_by_botocore(aws, first, body), **target}
    if fault == "body":
        body = body.replace(b"release", b"released")
    elif fault == "unsigned header":
        headers["X-Amz-Extra"] = "1"
    elif fault == "no date":
        del headers["X-Amz-Date"]
    elif fault == "no signature":
        del headers["Authorization"]
    elif fault == "cut":
        headers["Authorization"] = headers["Authorization"][:-1]
    method, path = ("GET" if fault == "GET" else "POST"), ("/x" if fault == "path" else "/")
    reply = urllib3.PoolManager().request(method, aws.endpoint + path, body=body, headers=headers, retries=False)
    if fault == "none":
        assert (reply.status, reply.json()["KeyMetadata"]["Arn"]) == (200, key.arn)
    else:
        assert reply.status == 400
        names = ("Signature", "AuthenticationToken")
        assert any(name in reply.json()["__type"] for name in names), reply.json()
    assert reply.headers["x-amzn-RequestId"]


def test_our_requests_are_boto3_s(aws: Aws, tmp_path: Path) -> None:
    """Target, content type, body and the list of what is signed are the same; the signature itself is a unit test's."""
    certificate, root = aws.publish(tmp_path, rsa_key(2048))
    (tmp_path / "a.dll").write_bytes(build_pe())
    run = kspsign_process(
        *("run", "*.dll", "--key-store", "aws-kms", "--kms-key", ALIAS, "--kms-endpoint", aws.endpoint),
        *("--certificate", certificate, "--trust-root", root, "--no-timestamp", "--store", tmp_path / "store"),
        folder=tmp_path,
        environment=aws.keys,
    )
    assert run.code == 0, run.text
    ours = {request.headers["x-amz-target"]: request for request in aws.record.requests}
    aws.record.requests.clear()
    kms, arn = client(aws), aws.aws.keys[0].arn
    kms.get_public_key(KeyId=ALIAS)
    kms.describe_key(KeyId=arn)
    digest = bytes.fromhex(aws.aws.signed[0])
    kms.sign(**{**SIGN, "KeyId": arn, "Message": digest})
    assert len(aws.record.requests) == len(ours) == 3
    for theirs in aws.record.requests:
        our = ours[theirs.headers["x-amz-target"]]
        for name in ("host", "content-type"):
            assert our.headers[name] == theirs.headers[name]
        assert our.body == theirs.body
        assert _names(our.headers) == _names(theirs.headers)


def _names(headers: Mapping[str, str]) -> str:
    return headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
