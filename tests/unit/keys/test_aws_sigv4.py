"""Signature Version 4 byte for byte as botocore signs; and the hosts that botocore's partitions name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import create_loader
from pydantic import SecretStr

from kspsign.keys.aws_kms.address import find_address
from kspsign.keys.aws_kms.options import AwsKmsOptions
from kspsign.keys.aws_kms.sigv4 import AwsKeys, signed_headers
from kspsign.model.errors import ConfigurationError

BODY = b'{"KeyId": "alias/release", "Message": "AAAA"}'
TARGET = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Sign"}
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
PARTITIONS: list[dict[str, Any]] = create_loader().load_data("partitions")["partitions"]
REGIONS = {
    "aws": "eu-central-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}


@pytest.mark.parametrize("token", ["", "session+token/==", "x" * 900], ids=["user", "session", "long session"])
@pytest.mark.parametrize(
    ("url", "region", "service"),
    [
        ("https://kms.eu-central-1.amazonaws.com/", "eu-central-1", "kms"),
        ("https://vpce-0a1b.kms.us-gov-west-1.vpce.amazonaws.com:8443/", "us-gov-west-1", "kms"),
        ("http://127.0.0.1:4566/", "cn-north-1", "sts"),
    ],
)
@pytest.mark.parametrize("body", [BODY, b"", b"\xff" * 70], ids=["json", "empty", "bytes"])
def test_the_headers_are_botocore_s(
    url: str, region: str, service: str, body: bytes, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 11, 29, 23, 59, 59, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_a, **_k: moment)
    theirs = AWSRequest("POST", url, headers=dict(TARGET), data=body)
    credentials = Credentials("AKIDEXAMPLE", "secret/Key+1", token or None)
    botocore.auth.SigV4Auth(credentials, service, region).add_auth(theirs)
    keys = AwsKeys("AKIDEXAMPLE", "secret/Key+1", token)
    ours = signed_headers(url, body, TARGET, keys=keys, region=region, service=service, now=moment)
    expected = {name.lower(): value for name, value in theirs.headers.items()}
    got = {name.lower(): value for name, value in ours.items()}
    host = got.pop("host")  # which botocore leaves to its connection
    assert host == url.split("/")[2]
    assert got == expected


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda partition: str(partition["id"]))
def test_each_partition_has_its_hosts(partition: dict[str, Any]) -> None:
    region = REGIONS[partition["id"]]
    assert re.fullmatch(partition["regionRegex"], region)
    arn = f"arn:{partition['id']}:kms:{region}:111122223333:key/{KEY}"
    found = find_address(AwsKmsOptions(kms_key=arn), {})
    assert found.region == region
    assert found.endpoint == f"https://kms.{region}.{partition['outputs']['dnsSuffix']}"
    assert found.sts == f"https://sts.{region}.{partition['outputs']['dnsSuffix']}"
    fips = find_address(AwsKmsOptions(kms_key=arn), {"AWS_USE_FIPS_ENDPOINT": SecretStr("true")})
    assert fips.endpoint == f"https://kms-fips.{region}.{partition['outputs']['dnsSuffix']}"


@pytest.mark.parametrize(
    ("options", "variables", "region", "endpoint"),
    [
        ({"kms_key": KEY, "aws_region": "us-east-1"}, {"AWS_REGION": "eu-west-1"}, "us-east-1", None),
        ({"kms_key": "alias/team/release_1"}, {"AWS_REGION": "eu-west-1"}, "eu-west-1", None),
        ({"kms_key": f"mrk-{'0a' * 16}"}, {"AWS_DEFAULT_REGION": "ap-south-2"}, "ap-south-2", None),
        (
            {
                "kms_key": KEY,
                "aws_region": "us-east-1",
                "kms_endpoint": "https://vpce-1.kms.us-east-1.vpce.amazonaws.com/",
            },
            {"AWS_ENDPOINT_URL_KMS": "https://other"},
            "us-east-1",
            "https://vpce-1.kms.us-east-1.vpce.amazonaws.com",
        ),
        (
            {"kms_key": KEY, "aws_region": "us-east-1"},
            {"AWS_ENDPOINT_URL_KMS": "http://localhost:4566"},
            "us-east-1",
            "http://localhost:4566",
        ),
    ],
)
def test_region_and_endpoint_are_found(
    options: dict[str, str], variables: dict[str, str], region: str, endpoint: str | None
) -> None:
    secrets = {name: SecretStr(value) for name, value in variables.items()}
    found = find_address(AwsKmsOptions.model_validate(options), secrets)
    assert found.region == region
    assert found.endpoint == (endpoint or f"https://kms.{region}.amazonaws.com")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs the key"),
        ({"kms_key": KEY}, "the region of the KMS key is not known"),
        ({"kms_key": "release"}, "is not a key of AWS KMS"),
        ({"kms_key": "alias/a b"}, "is not a key of AWS KMS"),
        ({"kms_key": KEY, "aws_region": "Frankfurt"}, "is not an AWS region"),
        ({"kms_key": KEY, "aws_region": "eu-central-1.evil.example/x-1"}, "is not an AWS region"),
        (
            {"kms_key": f"arn:aws:kms:eu-west-1:111122223333:key/{KEY}", "aws_region": "eu-west-2"},
            "the key's ARN is in",
        ),
        ({"kms_key": KEY, "aws_region": "eu-west-1", "kms_endpoint": "http://kms.example"}, "is not an endpoint"),
        ({"kms_key": KEY, "aws_region": "eu-west-1", "kms_endpoint": "https://u:p@kms.example"}, "is not an endpoint"),
        ({"kms_key": KEY, "aws_region": "eu-west-1", "kms_endpoint": "https://kms.example/x?y"}, "is not an endpoint"),
        ({"kms_key": KEY, "aws_region": "eu-west-1", "kms_endpoint": "https://kms.example:0x1"}, "is not an endpoint"),
    ],
)
def test_what_is_no_address_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        find_address(AwsKmsOptions.model_validate(options), {})
