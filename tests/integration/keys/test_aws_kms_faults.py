"""What a run makes of every way in which AWS KMS and its sign-in can fail: outcome, signatures spent, journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.aws.kms import answered, exception
from support.aws.server import ALIAS, Aws
from support.aws.world import ROLE
from support.certificates import rsa_key
from support.key_vault.answers import Request, Response
from support.samples import Run, kspsign
from support.service_faults import (
    AT_ONCE,
    Case,
    Set,
    answering,
    check_outcome,
    environment_of,
    fill,
    hanging_up,
    ways_of,
)
from support.service_faults import PAGE as HTML

NOW = datetime.now(UTC)
SIDES: dict[str, Any] = {"begin": NOW - timedelta(days=30), "end": NOW + timedelta(days=300)}
KEY = rsa_key(2048)
PAGE = Response(200, HTML, {"Content-Type": "text/html"})
having = ways_of("aws")


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    (tmp_path / "aws").mkdir()
    with Aws(tmp_path / "aws") as running:
        yield running


def is_call(operation: str) -> Callable[[Request], bool]:
    return lambda request: request.headers.get("x-amz-target") == f"TrentService.{operation}"


is_sign = is_call("Sign")


def garbled(**fields: Any) -> Set:
    """A signature is answered with these fields changed; None takes one away."""

    def set_up(aws: Aws) -> None:
        def interfere(request: Request) -> Response | None:
            service = aws._service(request)  # noqa: SLF001 - of this stand-in
            if not is_sign(request) or service is None:
                return None
            content = {**json.loads(service(request).content), **fields}
            return answered(200, {name: value for name, value in content.items() if value is not None})

        aws.interfere = interfere

    return set_up


def disabled_between_files(aws: Aws) -> None:
    def interfere(request: Request) -> Response | None:
        if is_sign(request) and aws.aws.signed:
            aws.aws.keys[0].state = "Disabled"
        return None

    aws.interfere = interfere


def throttled(times: int = 1 << 30, name: str = "ThrottlingException") -> Set:
    return answering(is_sign, exception(name, "Rate exceeded", **AT_ONCE), times)


CASES: dict[str, Case] = {
    "limit exceeded before": Case(throttled(2, "LimitExceededException"), 0, spent=1),
    "internal fault before": Case(throttled(2, "KMSInternalException"), 0, spent=1),
    "key unavailable before": Case(throttled(2, "KeyUnavailableException"), 0, spent=1),
    "out of order before": Case(answering(is_sign, Response(503, b"", AT_ONCE), 2), 0, spent=1),
    "busy before the key is known": Case(
        answering(is_call("GetPublicKey"), exception("ThrottlingException", "", **AT_ONCE), 3), 0, spent=1
    ),
    "answer lost before the key is known": Case(hanging_up(is_call("DescribeKey"), 2), 0, spent=1),
    "busy for ever": Case(throttled(), 6, "AWS_KMS_THROTTLED", words=("Rate exceeded", "(request ")),
    "asked to wait too long": Case(
        answering(is_sign, Response(503, b"", {"Retry-After": "3600"})), 6, "AWS_KMS_UNAVAILABLE"
    ),
    "a dependency timed out": Case(
        answering(is_sign, exception("DependencyTimeoutException", "timed out")), 6, "SIGNATURE_MAY_BE_SPENT", used=1
    ),
    "a gateway answers": Case(
        answering(is_sign, Response(502, PAGE.content)), 6, "SIGNATURE_MAY_BE_SPENT", used=1, words=("HTTP 502",)
    ),
    "refused": Case(having(allowed=frozenset({"GetPublicKey", "DescribeKey"})), 6, "AWS_KMS_FORBIDDEN",
                    words=("not authorized to perform: kms:Sign", "kms:GetPublicKey and kms:DescribeKey")),
    "disabled between two files": Case(disabled_between_files, 1, "AWS_KMS_DISABLED", spent=1, files=2),
    "expired session": Case(
        answering(is_sign, exception("ExpiredTokenException", "The security token is expired")), 6, "AWS_SIGN_IN",
        words=("temporary credential has expired",),
    ),
    "incorrect key": Case(answering(is_sign, exception("IncorrectKeyException", "")), 6, "AWS_KMS_USAGE"),
    "an exception of a later version": Case(
        answering(is_sign, exception("com.amazonaws.kms#NewException", "brand new")), 6, "AWS_KMS_REFUSED",
        words=("NewException: brand new", "CloudTrail"),
    ),
    "refused by a page": Case(
        answering(is_sign, Response(403, b"<html><body><h1>Blocked</h1> by policy</body></html>")), 6,
        "AWS_KMS_ANSWER", words=("Blocked by policy",),
    ),
    "no base64": Case(garbled(Signature="%%%"), 6, "SIGNATURE_MAY_BE_SPENT", spent=1),
    "no signature": Case(garbled(Signature=None), 6, "SIGNATURE_MAY_BE_SPENT", spent=1),
    "bits turned": Case(garbled(Signature="QUJD" * 85), 6, "KEY_MISMATCH", spent=1),
    "another key is said": Case(garbled(KeyId="arn:other"), 6, "SIGNATURE_MAY_BE_SPENT", spent=1, words=("arn:other",)),
    "another algorithm is said": Case(
        garbled(SigningAlgorithm="RSASSA_PSS_SHA_256"), 6, "SIGNATURE_MAY_BE_SPENT", spent=1
    ),
    "a page in the place of the key": Case(answering(is_call("GetPublicKey"), PAGE), 5, "AWS_KMS_ANSWER"),
    "garbage in the place of the key": Case(
        answering(is_call("GetPublicKey"), answered(200, {"KeyId": "x", "PublicKey": "QUJD"})), 5, "AWS_KMS_ANSWER"
    ),
    "garbage in the place of the state": Case(
        answering(is_call("DescribeKey"), answered(200, {"KeyMetadata": []})), 5, "AWS_KMS_ANSWER"
    ),
    "no such key": Case(lambda aws: aws.aws.aliases.clear(), 5, "AWS_KMS_NOT_FOUND", words=("is not found",)),
    "the clock is wrong": Case(having(offset=timedelta(minutes=14)), 5, "AWS_CLOCK", words=("Signature expired",)),
    "the clock is early": Case(having(offset=-timedelta(hours=2)), 5, "AWS_CLOCK", words=("not yet current",)),
    "no right to the public key": Case(having(allowed=frozenset({"Sign"})), 5, "AWS_KMS_FORBIDDEN"),
}  # fmt: skip


def run_in(aws: Aws, folder: Path, *more: object, environment: dict[str, str] | None = None) -> Run:
    with environment_of(aws.keys if environment is None else environment):
        return kspsign(
            *("run", "*.dll", "--folder", folder, "--key-store", "aws-kms", "--kms-key", ALIAS),
            *("--kms-endpoint", aws.endpoint, "--certificate", folder / "code.pem", "--no-timestamp"),
            *("--trust-root", folder / "root.pem", "--store", folder / "store", "--jobs", "1", *more),
            folder=folder,
        )


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, aws: Aws, tmp_path: Path) -> None:
    case = CASES[name]
    before = fill(tmp_path, case.files)
    aws.publish(tmp_path, KEY, **SIDES)
    case.set_up(aws)
    run = run_in(aws, tmp_path)
    check_outcome(case, run, tmp_path, before, len(aws.aws.signed))
    assert list((tmp_path / "store").rglob("*.journal")) == []
    assert not any(key.secret in run.text for key in aws.aws.access_keys.values())


STS_CASES: dict[str, tuple[Set, str, str]] = {
    "not trusted": (having(trusts_role=False), "AWS_ROLE", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
    "unknown provider": (lambda aws: aws.aws.oidc_tokens.clear(), "AWS_ROLE", "No OpenIDConnect provider"),
    "a page": (answering(lambda request: request.path == "/", PAGE), "AWS_KMS_ANSWER", "it holds no credential"),
    "blocked": (
        answering(lambda request: request.path == "/", Response(403, b"<html>Blocked</html>")),
        "AWS_KMS_ANSWER",
        "Blocked",
    ),
    "out of order": (
        answering(lambda request: request.path == "/", Response(503, b"", AT_ONCE)),
        "AWS_KMS_UNAVAILABLE",
        "HTTP 503",
    ),
}


@pytest.mark.parametrize("name", STS_CASES)
def test_a_role_that_can_t_be_assumed_is_told_before_a_key_is_asked_for(name: str, aws: Aws, tmp_path: Path) -> None:
    set_up, code, words = STS_CASES[name]
    fill(tmp_path)
    aws.publish(tmp_path, KEY, **SIDES)
    (tmp_path / "token").write_text("planted.web.identity")
    aws.aws.oidc_tokens.add("planted.web.identity")
    set_up(aws)
    environment = {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL_STS": aws.endpoint}
    environment |= {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}
    run = run_in(aws, tmp_path, "--aws-role-arn", ROLE, environment=environment)
    assert (run.code, run.report["error"]["code"]) == (5, code), run.text
    assert words in run.text
    assert "planted.web.identity" not in run.text
    assert aws.of_kms("GetPublicKey") == []


def test_a_page_in_the_place_of_an_instance_s_token_is_told(aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, KEY, **SIDES)
    answering(lambda request: request.path == "/latest/api/token", Response(200, b"<html>\nSign in\n</html>"))(aws)
    environment = {"AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.endpoint}
    run = run_in(aws, tmp_path, environment=environment)
    assert (run.code, run.report["error"]["code"]) == (5, "AWS_SIGN_IN"), run.text
    assert "not the metadata service" in run.text


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_instance_without_a_role_is_told(status: int, aws: Aws, tmp_path: Path) -> None:
    fill(tmp_path)
    aws.publish(tmp_path, KEY, **SIDES)
    answering(lambda request: request.path.startswith("/latest/meta-data"), Response(status, b"gone"))(aws)
    environment = {"AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.endpoint}
    run = run_in(aws, tmp_path, environment=environment)
    assert (run.code, run.report["error"]["code"]) == (5, "AWS_SIGN_IN"), run.text
    assert f"HTTP {status}" in run.text
    assert aws.of_kms("GetPublicKey") == []
