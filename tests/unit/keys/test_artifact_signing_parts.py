"""Artifact Signing's parts: addresses, the metadata file, answers, and what refusals say in each of their shapes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kspsign.certificates.parse import to_der
from kspsign.keys.azure_artifact_signing.answers import (
    leaf_among,
    read_certificates,
    read_operation,
)
from kspsign.keys.azure_artifact_signing.errors import UnusableAnswerError, refusal, said_by
from kspsign.keys.azure_artifact_signing.identifier import ProfileAddress
from kspsign.keys.azure_artifact_signing.metadata import find_target
from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_artifact_signing.pace import PollingPace
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from support.artifact_signing.world import SigningWorld, certificates_only

OWN = ProfileAddress("https://weu.codesigning.azure.net", "contoso", "release")
WHOLE = {
    "Endpoint": "https://weu.codesigning.azure.net/",
    "CodeSigningAccountName": "contoso",
    "CertificateProfileName": "release",
}


@pytest.fixture(scope="module")
def world() -> SigningWorld:
    return SigningWorld()


@pytest.mark.parametrize(
    ("endpoint", "wanted"),
    [
        ("https://weu.codesigning.azure.net", "https://weu.codesigning.azure.net"),
        ("https://weu.codesigning.azure.net///", "https://weu.codesigning.azure.net"),
        (" HTTPS://WEU.codesigning.azure.net:443/ ", "https://weu.codesigning.azure.net"),
        ("wus2.codesigning.azure.net", "https://wus2.codesigning.azure.net"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://localhost:8443", "https://localhost:8443"),
    ],
)
def test_an_endpoint_is_the_service_s_or_this_machine_s(endpoint: str, wanted: str) -> None:
    address = ProfileAddress.parse(endpoint, "contoso", "release")
    assert address.endpoint == wanted
    assert address.base == f"{wanted}/codesigningaccounts/contoso/certificateprofiles/release"


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "https://",
        "https://codesigning.azure.net",
        "https://.codesigning.azure.net",
        "https://a.b.codesigning.azure.net",
        "https://weu.codesigning.azure.net.example.org",
        "https://example.org/weu.codesigning.azure.net",
        "https://weu-codesigning.azure.net",
        "http://weu.codesigning.azure.net",
        "ftp://127.0.0.1",
        "https://weu.codesigning.azure.net:8443",
        "https://weu.codesigning.azure.net:x",
        "https://user:password@weu.codesigning.azure.net",
        "https://weu.codesigning.azure.net/?a=b",
        "https://weu.codesigning.azure.net/#a",
        "https://127.0.0.1.example.org",
    ],
)
def test_any_other_endpoint_would_get_the_token_and_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an endpoint of Azure Artifact Signing"):
        ProfileAddress.parse(endpoint, "contoso", "release")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "a:sign", "ä", "a?b", "x" * 101])
def test_a_name_is_one_segment_of_the_path(name: str) -> None:
    for account, profile in ((name, "release"), ("contoso", name)):
        with pytest.raises(ConfigurationError, match="is not a name in Azure Artifact Signing"):
            ProfileAddress.parse("https://weu.codesigning.azure.net", account, profile)


def test_an_operation_is_this_profile_s() -> None:
    version = "?api-version=2022-06-15-preview"
    assert OWN.has(f"{OWN.base}/sign/0a1b-2c{version}")
    assert OWN.has(f"{OWN.base}:sign/operations/0a1b{version}")
    other = ProfileAddress(OWN.endpoint, "contoso", "release2")
    for url in (
        f"{other.base}/sign/0a1b{version}",
        f"{OWN.base}/../../x/sign/0a1b{version}",
        f"{OWN.base}/sign/%2e%2e/0a1b{version}",
        f"{OWN.base}/sign/0a1b{version}#@example.org",
        f"{OWN.base}/sign/0a1b",
        f"{OWN.base}@example.org/sign/0a1b{version}",
        f"https://example.org/{OWN.base}/sign/0a1b{version}",
        OWN.base,
        "",
    ):
        assert not OWN.has(url), url


def target(folder: Path, content: object, environment: Mapping[str, str] | None = None, **options: Any) -> Any:
    file = folder / "metadata.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    given = ArtifactSigningOptions(signing_metadata=file, **options)
    return find_target(given, {name: SecretStr(value) for name, value in (environment or {}).items()})


def test_the_metadata_file_names_everything_and_options_win(tmp_path: Path) -> None:
    found = target(tmp_path, {**WHOLE, "CorrelationId": "seven", "ExcludeCredentials": ["AzureCliCredential"]})
    assert (found.profile, found.correlation_id, found.excluded) == (OWN, "seven", {"cli"})
    other = target(tmp_path, WHOLE, certificate_profile="nightly", correlation_id="eight")
    assert (other.profile.profile, other.correlation_id, other.excluded) == ("nightly", "eight", frozenset())


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"BUILD_DEFINITIONNAME": "app", "BUILD_BUILDNUMBER": "1.2"}, "build app/1.2"),
        ({"GITHUB_WORKFLOW": "release", "GITHUB_RUN_ID": "77"}, "build release/77"),
        ({"BUILD_DEFINITIONNAME": "a\r\nX-Evil: ä", "BUILD_BUILDNUMBER": "1"}, "build a??X-Evil: ?/1"),
        ({"BUILD_DEFINITIONNAME": "x" * 300, "BUILD_BUILDNUMBER": "1"}, "build " + "x" * 94),
    ],
)
def test_the_build_is_the_correlation_id(environment: dict[str, str], wanted: str, tmp_path: Path) -> None:
    assert target(tmp_path, WHOLE, environment).correlation_id == wanted


def test_outside_a_pipeline_every_run_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = {target(tmp_path, WHOLE).correlation_id for _ in range(2)}
    assert len(ids) == 2
    assert all(identifier.startswith("kspsign ") for identifier in ids)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ({**WHOLE, "Endpiont": "x"}, "unknown keys: Endpiont"),
        ({**WHOLE, "AccessToken": "x"}, "unknown keys: AccessToken"),
        ({**WHOLE, "CodeSigningAccountName": 7}, "a value for CodeSigningAccountName that is not a string"),
        ({**WHOLE, "ExcludeCredentials": "AzureCliCredential"}, "ExcludeCredentials that is not a list"),
        ({**WHOLE, "ExcludeCredentials": ["AzCliCredential"]}, "ExcludeCredentials that is not a list of Environment"),
        ({"Endpoint": WHOLE["Endpoint"]}, "needs --signing-account, --certificate-profile"),
        ({**WHOLE, "Endpoint": "https://example.org"}, "is not an endpoint"),
    ],
)
def test_a_wrong_metadata_file_is_told(content: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        target(tmp_path, content)


def test_certificates_are_read_however_often_they_are_encoded_and_in_any_order(world: SigningWorld) -> None:
    for chain in (world.chain, world.chain[::-1], (world.chain[1], world.chain[0], world.chain[0])):
        content = certificates_only(chain)
        for encoded in (
            content,
            base64.b64encode(content),
            base64.b64encode(base64.encodebytes(content).replace(b"\n", b"\r\n")),
            b'"' + base64.b64encode(content) + b'"',
        ):
            assert to_der(leaf_among(read_certificates(encoded))) == world.leaf.der
    assert read_certificates(world.leaf.pem)
    assert read_certificates(world.leaf.der)


@pytest.mark.parametrize("content", [b"", b"%%", b"AAAA", b"0\x82\x01\x02", b"<html>", base64.b64encode(b"no")])
def test_what_holds_no_certificate_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableAnswerError):
        read_certificates(content)


def test_issuers_alone_have_no_leaf(world: SigningWorld) -> None:
    with pytest.raises(UnusableAnswerError, match="no end-entity certificate"):
        leaf_among(read_certificates(certificates_only(world.chain[1:])))


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", "not JSON"), (b"<html>", "not JSON"), (b"[]", "not a JSON object"), (b"{}", "no status"),
     (b'{"status": 3}', "no status"), (b"[" * 100_000, "not JSON")],
)  # fmt: skip
def test_what_is_no_state_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(UnusableAnswerError, match=words):
        read_operation(body)


def test_both_envelopes_are_read(world: SigningWorld) -> None:
    chain = base64.b64encode(certificates_only(world.chain)).decode()
    values = {"signature": "QUJD", "signingCertificate": chain}
    for content in (
        {"operationId": "7a-b", "status": "Succeeded", **values},
        {"id": "7a-b", "status": "succeeded", "result": values},
    ):
        state = read_operation(json.dumps(content).encode())
        assert (state.status, state.id, state.signature()) == ("succeeded", "7a-b", b"ABC")
        assert len(state.certificates()) == 4
    assert read_operation(b'{"status": "InProgress", "id": "../x"}').id is None


SHAPES = {
    "errorDetail": (
        b'{"errorDetail":{"code":"NotFound","message":"no such profile","target":null}}',
        "NotFound: no",
    ),
    "error": (b'{"error":{"code":"Bad","message":"wrong","details":[{"code":"X","message":"y"}]}}', "Bad: wrong: X: y"),
    "problem": (b'{"title":"Invalid","status":400,"errors":{"digest":["too short","odd"]}}', "digest (too short odd)"),
    "page": (b"<html><style>x{}</style><h1>502\n Bad</h1> Gateway</html>", "502 Bad"),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_each_shape_of_an_error_gives_a_sentence_a_code_and_a_remedy(shape: str, status: int) -> None:
    body, words = SHAPES[shape]
    error = refusal(status, body, error_class=PrerequisiteError, asked="the certificates")
    assert error.message.startswith(f"Azure Artifact Signing refused the certificates: HTTP {status} ")
    assert words in error.message
    assert error.message.isprintable()
    assert error.code.startswith("ARTIFACT_SIGNING_")
    assert error.remedy.endswith(".")
    assert words or "(empty body)" in error.message


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, "", "TOKEN"),
        (500, "ClaimsPrincipal TenantId is null.", "TOKEN"),
        (403, "", "FORBIDDEN"),
        (404, "Response status code does not indicate success: 403 (Forbidden).", "NOT_FOUND"),
        (500, "Response status code does not indicate success: 403 (Forbidden).", "NOT_FOUND"),
        (400, "x", "REFUSED"),
        (429, "", "THROTTLED"),
        (500, "x", "UNAVAILABLE"),
        (503, "", "UNAVAILABLE"),
        (302, "", "ANSWER"),
    ],
)
def test_a_refusal_means(status: int, message: str, code: str) -> None:
    body = json.dumps({"errorDetail": {"code": "InternalError", "message": message}}).encode()
    assert refusal(status, body, error_class=PrerequisiteError, asked="x").code == f"ARTIFACT_SIGNING_{code}"


def test_a_long_body_is_cut() -> None:
    assert len(said_by(b"word " * 10_000)) < 500


def test_an_operation_is_asked_for_when_those_before_it_had_ended() -> None:
    pace = PollingPace()
    assert _requests(pace, 1.0) > 10
    assert _requests(pace, 1.0) <= 4
    late = [pace.pause(0.0, 1) for _ in range(2)]
    assert late[0] == late[1] == pytest.approx(0.9, abs=0.1)


def test_a_service_that_becomes_faster_or_slower_is_noticed() -> None:
    pace = PollingPace()
    for _ in range(20):
        _requests(pace, 1.0)
    for _ in range(40):
        _requests(pace, 0.2)
    assert pace.pause(0.0, 1) < 0.3
    assert _requests(pace, 3.0) > 10
    for _ in range(40):
        _requests(pace, 3.0)
    assert _requests(pace, 3.0) <= 6


def test_one_slow_operation_does_not_slow_down_those_after_it() -> None:
    pace = PollingPace()
    _requests(pace, 60.0)
    assert pace.pause(0.0, 1) <= 2.0
    assert _requests(pace, 60.0) < 60


def _requests(pace: PollingPace, seconds: float) -> int:
    """How many requests an operation of `seconds` takes."""
    elapsed, rounds = 0.0, 0
    while elapsed < seconds:
        elapsed += pace.pause(elapsed, rounds)
        rounds += 1
    pace.record(elapsed)
    return rounds
