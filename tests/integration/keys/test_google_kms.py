"""Key store google-cloud-kms against a loopback service: which version signs, by which sign-in, and what fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import thumbprint_of
from kspsign.keys.google_cloud_kms.crc32c import crc32c
from support.certificates import rsa_key
from support.google.kms import crc32c as by_bits
from support.google.kms import failure
from support.google.server import Google
from support.google.world import ACCOUNT, KEY, PROVIDER, SigningKey
from support.key_vault.answers import Request, Response
from support.key_vault.world import CONNECTION
from support.pki import Issued, ca, new_key, signer
from support.samples import Run, assert_found_in_log, kspsign, osslsigncode_verify
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
DAY = timedelta(days=1)
SIDES: dict[str, Any] = {"begin": NOW - 30 * DAY, "end": NOW + 300 * DAY}
RSA, OTHER = rsa_key(2048), rsa_key(2048)
PAGE = Response(200, HTML, {"Content-Type": "text/html"})
VARIABLES = ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "ACTIONS_ID_TOKEN_REQUEST_URL")
having = ways_of("google")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Google]:
    (tmp_path / "google").mkdir()
    with Google(tmp_path / "google") as running:
        yield running


def run_in(
    service: Google, folder: Path, *more: object, key: str = KEY, environment: Mapping[str, str] | None = None
) -> Run:
    with environment_of(service.machine if environment is None else environment, VARIABLES):
        return kspsign(
            *("run", "*.dll", "--folder", folder, "--key-store", "google-cloud-kms", "--kms-key", key),
            *("--kms-endpoint", service.endpoint, "--certificate", folder / "code.pem", "--no-timestamp"),
            *("--trust-root", folder / "root.pem", "--store", folder / "store", "--jobs", "1", *more),
            folder=folder,
        )


def test_files_are_signed_and_accepted_by_a_peer(service: Google, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    service.publish(tmp_path, RSA, **SIDES)
    run = run_in(service, tmp_path, "--verbose")
    assert run.code == 0, run.text
    assert len(service.google.signed) == run.report["totals"]["signatures_used"] == 3
    assert_found_in_log(run, [asked.headers["x-goog-request-reason"] for asked in service.of_kms(":asymmetricSign")])
    assert len(service.of_kms("/publicKey")) == 1
    assert run.report["certificate"]["alias"] == KEY
    peer = osslsigncode_verify(tmp_path / "00.dll", tmp_path / "root.pem")
    assert peer.accepted, peer.text


@pytest.mark.parametrize(
    ("key", "algorithm", "digest"),
    [
        (RSA, "RSA_SIGN_PKCS1_2048_SHA256", "sha256"),
        (RSA, "RSA_SIGN_PKCS1_4096_SHA512", "sha512"),
        (new_key(), "", "sha256"),
        (ec.generate_private_key(ec.SECP384R1()), "", "sha384"),
    ],
    ids=["rsa", "rsa sha512", "p256", "p384"],
)
def test_a_version_signs_its_digest_and_no_other(
    key: SigningKey, algorithm: str, digest: str, service: Google, tmp_path: Path
) -> None:
    fill(tmp_path)
    version, *_files = service.publish(tmp_path, key, **SIDES)
    version.algorithm = algorithm or version.algorithm
    wrong = "sha256" if digest != "sha256" else "sha384"
    refused = run_in(service, tmp_path, "--digest", wrong)
    assert (refused.code, refused.report["error"]["code"]) == (3, "DIGEST_NOT_SUPPORTED"), refused.text
    assert service.google.signed == []
    run = run_in(service, tmp_path, "--digest", digest)
    assert run.code == 0, run.text
    (asked,) = service.of_kms(":asymmetricSign")
    content = json.loads(asked.body)
    assert list(content["digest"]) == [digest]
    assert content["digestCrc32c"] == str(by_bits(bytes.fromhex(service.google.signed[0])))


def test_the_checksum_is_castagnoli_s() -> None:
    """The vectors of RFC 3720 appendix B.4, and Google's own check value."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize(
    "source",
    ["account", "file pool", "url pool", "direct pool", "machine", "azure pipelines", "github", "github account"],
)
def test_every_sign_in_signs(source: str, service: Google, tmp_path: Path) -> None:
    """The last three by Google's real names, through the proxy."""
    fill(tmp_path, 2)
    service.publish(tmp_path, RSA, **SIDES)
    credentials, environment = tmp_path / "credentials.json", {**service.machine}
    more: tuple[str, ...] = ()
    if source == "account":
        service.service_account(credentials)
    elif source in {"file pool", "direct pool"}:
        (tmp_path / "token").write_text('{"value": "own.token.1"}')
        described = {"type": "json", "subject_token_field_name": "value"}
        place = {"file": str(tmp_path / "token"), "format": described}
        service.external_account(credentials, place, impersonating=source == "file pool")
        service.google.oidc_tokens.add("own.token.1")
    elif source == "url pool":
        described = {"type": "json", "subject_token_field_name": "value"}
        audience = f"audience=https%3A%2F%2Fiam.googleapis.com%2F{PROVIDER.replace('/', '%2F')}"
        url = f"{service.github['ACTIONS_ID_TOKEN_REQUEST_URL']}&{audience}"
        bearer = {"Authorization": f"Bearer {service.github['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
        service.external_account(credentials, {"url": url, "headers": bearer, "format": described})
    if credentials.exists():
        environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(credentials)
    if source in {"azure pipelines", "github", "github account"}:
        given = service.pipeline_environment if source == "azure pipelines" else service.github
        environment = {**service.environment, **given, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        more = ("--google-workload-provider", PROVIDER, "--azure-connection-id", CONNECTION)
        more += ("--google-service-account", ACCOUNT) if source == "github account" else ()
    run = run_in(service, tmp_path, *more, environment=environment)
    assert run.code == 0, run.text
    assert len(service.google.signed) == 2
    assert not any(token in run.text for token in (*service.google.tokens, *service.google.oidc_tokens))
    impersonated = source in {"account", "file pool", "url pool", "github account"}
    assert (ACCOUNT in service.google.tokens.values()) == impersonated


def test_a_token_is_renewed_before_its_end(service: Google, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    service.publish(tmp_path, RSA, **SIDES)
    service.google.life = 240
    assert run_in(service, tmp_path).code == 0
    assert len(service.google.tokens) == 4  # one for each call


@pytest.mark.parametrize(
    ("more", "content", "words"),
    [
        (("--kms-key", "release"), None, "is not a key of Google Cloud KMS"),
        (("--kms-key", f"{KEY}/cryptoKeyVersions/x"), None, "is not a key of Google Cloud KMS"),
        (("--google-service-account", ACCOUNT), None, "no provider to impersonate it by"),
        (("--google-workload-provider", "ci"), None, "is not a workload identity provider"),
        (("--google-workload-provider", PROVIDER), None, "there is no OIDC token"),
        (("--kms-endpoint", "http://kms.example"), None, "is not an endpoint"),
        ((), "no JSON", "is not JSON"),
        ((), {"type": "authorized_user"}, "is of type 'authorized_user'"),
        ((), {"type": "service_account", "client_email": "a@b"}, "has no private_key"),
        ((), {"type": "service_account", "client_email": "a@b", "private_key": "x"}, "no private key that can be read"),
        ((), {"type": "external_account", "credential_source": {"executable": {"command": "x"}}}, "no program is run"),
        ((), {"type": "external_account", "credential_source": {"environment_id": "aws1", "url": "x"}}, "no AWS"),
        (
            (),
            {
                "type": "external_account",
                "credential_source": {"file": "x"},
                "audience": "a",
                "subject_token_type": "b",
                "token_url": "http://sts.example/token",
            },
            "is not an https address",
        ),
    ],
)
def test_what_is_set_up_wrong_is_refused_before_anybody_is_asked(
    more: tuple[str, ...], content: Any, words: str, service: Google, tmp_path: Path
) -> None:
    fill(tmp_path)
    service.publish(tmp_path, RSA, **SIDES)
    environment = {**service.machine}
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "credentials.json").write_text(text)
        environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "credentials.json")
    run = run_in(service, tmp_path, *more, environment=environment)
    assert run.code == (3 if content is None else 5), run.text
    assert words in run.text
    assert service.record.requests == []


def of(folder: Path, *certificates: Issued) -> None:
    """The certificate file, in this order."""
    (folder / "code.pem").write_bytes(b"".join(issued.pem for issued in certificates))


def test_the_newest_version_with_a_certificate_is_picked_and_said(service: Google, tmp_path: Path) -> None:
    fill(tmp_path)
    first, *_files = service.publish(tmp_path, RSA, **SIDES)
    root = ca("Another root", **SIDES)
    (tmp_path / "root.pem").write_bytes(root.pem)
    second = service.google.add(OTHER)
    disabled = service.google.add(rsa_key(2048), state="DISABLED")
    service.google.add(rsa_key(2048))  # made, and its certificate not issued yet
    leaves = [signer("Publisher", root, key=version.key, **SIDES) for version in (first, second, disabled)]
    of(tmp_path, *leaves, root)
    run = run_in(service, tmp_path)
    assert run.code == 0, run.text
    assert run.report["certificate"]["thumbprint"] == thumbprint_of(leaves[1].der)
    assert "has the enabled versions 4, 2, 1; 2 is used, the newest one that the certificate file" in run.text
    named = run_in(service, tmp_path, "--replace", key=first.name)
    assert named.report["certificate"]["thumbprint"] == thumbprint_of(leaves[0].der), named.text
    by_thumbprint = run_in(service, tmp_path, "--replace", "--thumbprint", thumbprint_of(leaves[0].der))
    assert by_thumbprint.code == 5, by_thumbprint.text  # of version 2's certificates it is none
    off = run_in(service, tmp_path, "--replace", key=disabled.name)
    assert (off.code, off.report["error"]["code"]) == (5, "GOOGLE_KMS_STATE"), off.text


def test_without_the_right_to_list_a_named_version_signs(service: Google, tmp_path: Path) -> None:
    fill(tmp_path)
    version, *_files = service.publish(tmp_path, RSA, **SIDES)
    service.google.allowed = frozenset({"viewPublicKey", "useToSign"})
    refused = run_in(service, tmp_path)
    assert (refused.code, refused.report["error"]["code"]) == (5, "GOOGLE_KMS_FORBIDDEN"), refused.text
    assert "else name the version in --kms-key" in refused.text
    assert run_in(service, tmp_path, key=version.name).code == 0


def test_another_key_s_certificate_is_noticed_before_a_signature(service: Google, tmp_path: Path) -> None:
    fill(tmp_path)
    service.publish(tmp_path, RSA, **SIDES)
    service.google.versions[0].key = OTHER
    run = run_in(service, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, "KEY_MISMATCH"), run.text
    assert service.google.signed == []


def test_the_thumbprint_alone_leads_to_the_version_and_its_very_certificate(service: Google, tmp_path: Path) -> None:
    fill(tmp_path)
    version, *_files = service.publish(tmp_path, RSA, **SIDES)
    assert run_in(service, tmp_path).code == 0
    thumbprint = thumbprint_of(read_certificate_file(tmp_path / "code.pem")[0])
    newer = signer("Publisher", ca("Another root", **SIDES), key=RSA, begin=NOW - DAY, end=NOW + 400 * DAY)
    (tmp_path / "code.pem").write_bytes(newer.pem + (tmp_path / "code.pem").read_bytes())
    service.google.add(OTHER)
    with environment_of(service.machine):
        run = kspsign(
            *("run", "*.dll", "--folder", tmp_path, "--thumbprint", thumbprint, "--no-timestamp", "--replace"),
            *("--store", tmp_path / "store", "--trust-root", tmp_path / "root.pem"),
            folder=tmp_path,
        )
    assert run.code == 0, run.text
    assert run.file["certificate"] == thumbprint
    assert {request.path for request in service.of_kms(":asymmetricSign")} == {f"/v1/{version.name}:asymmetricSign"}


def is_sign(request: Request) -> bool:
    return request.path.endswith(":asymmetricSign")


def is_list(request: Request) -> bool:
    return request.path.endswith("/cryptoKeyVersions")


def is_public(request: Request) -> bool:
    return request.path.endswith("/publicKey")


def garbled(which: Callable[[Request], bool], **fields: Any) -> Set:
    """An answer has these fields changed; None takes one away."""

    def set_up(service: Google) -> None:
        def interfere(request: Request) -> Response | None:
            found = service._service(request)  # noqa: SLF001 - of this stand-in
            if not which(request) or found is None:
                return None
            content = {**found(request).content, **fields}
            return Response(200, {name: value for name, value in content.items() if value is not None})

        service.interfere = interfere

    return set_up


def state_between_files(service: Google) -> None:
    def interfere(request: Request) -> Response | None:
        if is_sign(request) and service.google.signed:
            service.google.versions[0].state = "DISABLED"
        return None

    service.interfere = interfere


BUSY = failure(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric", **AT_ONCE)
LOST = "SIGNATURE_MAY_BE_SPENT"
CASES: dict[str, Case] = {
    "out of order before": Case(answering(is_sign, failure(503, "UNAVAILABLE", "x", **AT_ONCE), 2), 0, spent=1),
    "busy before the key is known": Case(answering(is_list, BUSY, 3), 0, spent=1),
    "answer lost before the key is known": Case(hanging_up(is_public, 2), 0, spent=1),
    "busy for ever": Case(answering(is_sign, BUSY), 6, "GOOGLE_KMS_THROTTLED", words=("RESOURCE_EXHAUSTED: Quota",)),
    "internal fault": Case(answering(is_sign, failure(500, "INTERNAL", "Internal error")), 6, LOST, used=1),
    "deadline exceeded": Case(answering(is_sign, failure(504, "DEADLINE_EXCEEDED", "late")), 6, LOST, used=1),
    "a gateway answers": Case(answering(is_sign, Response(502, PAGE.content)), 6, LOST, used=1, words=("HTTP 502",)),
    "refused": Case(
        having(allowed=frozenset({"list", "viewPublicKey"})), 6, "GOOGLE_KMS_FORBIDDEN",
        words=("cloudkms.cryptoKeyVersions.useToSign", "roles/cloudkms.signerVerifier"),
    ),
    "API not enabled": Case(
        answering(is_list, Response(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "API off",
                                                     "details": [{"reason": "SERVICE_DISABLED"}]}})),
        5, "GOOGLE_KMS_DISABLED",
    ),
    "outside the perimeter": Case(
        answering(is_list, Response(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "policy",
                                                     "details": [{"reason": "SECURITY_POLICY_VIOLATED"}]}})),
        5, "GOOGLE_KMS_FORBIDDEN", words=("service perimeter",),
    ),
    "disabled between two files": Case(
        state_between_files, 1, "GOOGLE_KMS_STATE", spent=1, files=2, words=("current state is: DISABLED",)
    ),
    "token not accepted": Case(answering(is_sign, failure(401, "UNAUTHENTICATED", "x")), 6, "GOOGLE_SIGN_IN"),
    "a status of a later version": Case(answering(is_sign, failure(418, "TEAPOT", "short")), 6, "GOOGLE_KMS_REFUSED"),
    "refused by a page": Case(
        answering(is_sign, Response(403, b"<html><h1>Blocked</h1> by policy</html>")), 6, "GOOGLE_KMS_ANSWER",
        words=("Blocked by policy",),
    ),
    "no base64": Case(garbled(is_sign, signature="%%%"), 6, LOST, spent=1),
    "no signature": Case(garbled(is_sign, signature=None), 6, LOST, spent=1),
    "bits turned": Case(garbled(is_sign, signature="QUJD"), 6, LOST, spent=1, words=("the signature's CRC32C",)),
    "no checksum": Case(garbled(is_sign, signatureCrc32c=None), 6, LOST, spent=1),
    "digest not checked": Case(garbled(is_sign, verifiedDigestCrc32c=False), 6, LOST, spent=1),
    "digest's check not said": Case(garbled(is_sign, verifiedDigestCrc32c=None), 6, LOST, spent=1),
    "another version is said": Case(garbled(is_sign, name="projects/x"), 6, LOST, spent=1, words=("projects/x",)),
    "a page in the place of the versions": Case(answering(is_list, PAGE), 5, "GOOGLE_KMS_ANSWER"),
    "garbage in the place of the versions": Case(garbled(is_list, cryptoKeyVersions={}), 5, "GOOGLE_KMS_ANSWER"),
    "a page in the place of the key": Case(answering(is_public, PAGE), 5, "GOOGLE_KMS_ANSWER"),
    "the key's checksum is wrong": Case(garbled(is_public, pemCrc32c="1"), 5, "GOOGLE_KMS_ANSWER"),
    "another key's answer": Case(garbled(is_public, name="projects/x"), 5, "GOOGLE_KMS_ANSWER"),
    "a key for RSA-PSS": Case(garbled(is_public, algorithm="RSA_SIGN_PSS_2048_SHA256"), 5, "GOOGLE_KMS_USAGE"),
    "no enabled version": Case(
        lambda service: setattr(service.google.versions[0], "state", "DISABLED"), 5, "GOOGLE_KMS_STATE"
    ),
    "no token from the machine": Case(
        answering(lambda request: request.path.startswith("/computeMetadata"), Response(404, b"")), 5, "GOOGLE_SIGN_IN"
    ),
    "another metadata server": Case(
        answering(lambda request: request.path.startswith("/computeMetadata"), PAGE), 5, "GOOGLE_SIGN_IN",
        words=("not Google's metadata server",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, service: Google, tmp_path: Path) -> None:
    case = CASES[name]
    before = fill(tmp_path, case.files)
    service.publish(tmp_path, RSA, **SIDES)
    case.set_up(service)
    run = run_in(service, tmp_path)
    check_outcome(case, run, tmp_path, before, len(service.google.signed))
    assert list((tmp_path / "store").rglob("*.journal")) == []
    assert not any(token in run.text for token in service.google.tokens)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("another key", "Invalid JWT Signature"),
        ("not admitted", "does not match the expected audience"),
        ("may not impersonate", "Workload Identity User"),
        ("a page", "is not JSON"),
    ],
)
def test_a_sign_in_that_is_refused_is_told_first(fault: str, words: str, service: Google, tmp_path: Path) -> None:
    fill(tmp_path)
    service.publish(tmp_path, RSA, **SIDES)
    file = tmp_path / "credentials.json"
    if fault == "another key":
        service.service_account(file)
        service.service_account(file, OTHER)
    else:
        (tmp_path / "token").write_text("own.token.planted")
        service.external_account(file, {"file": str(tmp_path / "token")})
        if fault != "not admitted":
            service.google.oidc_tokens.add("own.token.planted")
        service.google.may_impersonate = fault != "may not impersonate"
    if fault == "a page":
        answering(lambda request: request.path == "/v1/token", PAGE)(service)
    run = run_in(service, tmp_path, "--google-credentials", file)
    expected = "GOOGLE_KMS_ANSWER" if fault == "a page" else "GOOGLE_SIGN_IN"
    assert (run.code, run.report["error"]["code"]) == (5, expected), run.text
    assert words in run.text
    assert "own.token.planted" not in run.text
    assert service.of_kms("") == []
