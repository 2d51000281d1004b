"""What other programs could read differently is refused, and a rule holds for what it names alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from kspsign.model.errors import TrustError
from kspsign.provenance.bundle import SignedStatement, bundle_text, read_bundle
from kspsign.provenance.statement import BUILD_TYPE, TASK_BUILDER, read_statement, strict_json
from kspsign.verifying.policy.model import ProvenanceRule
from kspsign.verifying.provenance import check_rule

REPOSITORY = "https://dev.azure.com/acme/tools/_git/kit"
SIGNED = SignedStatement(b"{}", b"sig", (b"a",), None)


def statement(ref: str = "refs/heads/main", repository: str = REPOSITORY, **internal: Any) -> bytes:
    """A statement of one subject."""
    known = {"host": "azure-pipelines", "hosted": True, "reason": "", "requestedFor": "", "job": "", "attempt": 1}
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"repository": repository, "ref": ref, "definition": {"name": "release", "id": "1"}},
        "internalParameters": known | internal,
        "resolvedDependencies": [],
    }
    times = {"invocationId": "", "startedOn": "", "finishedOn": ""}
    run = {"builder": {"id": TASK_BUILDER, "version": {}}, "metadata": times}
    content = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a.dll", "digest": {"sha256": "a" * 64}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": definition, "runDetails": run},
    }
    return json.dumps(content).encode()


def test_a_statement_is_read() -> None:
    assert read_statement(statement()).digests == {"a" * 64}


@pytest.mark.parametrize(
    "text",
    [
        *(statement().decode().encode(encoding) for encoding in ("utf-16", "utf-32", "utf-8-sig")),
        statement().replace(b'"attempt": 1', b'"attempt": NaN'),
        statement(attempt="1"),
        statement(attempt=True),
        statement(attempt=1.0),
        statement(hosted="yes"),
        statement(hosted=1),
        statement().replace(b'"reason"', b'"attempt": 2, "reason"'),
        statement().replace(b"a" * 64, b"A" * 64),
        statement().replace(b'"sha256"', b'"sha512"'),
        statement().replace(b'"sha256"', b'"sha1": "%s", "sha256"' % (b"b" * 40)),
        statement().replace(b'"hosted"', b'"reviewed": true, "hosted"'),
        b"[" * 100_000,
        b"9" * 10_000,
    ],
    ids=lambda text: text[:12].hex() if text[:1] != b"{" else None,
)
def test_another_reading_is_refused(text: bytes) -> None:
    with pytest.raises(TrustError, match="the provenance does not hold"):
        read_statement(text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_refused(constant: str) -> None:
    with pytest.raises(TrustError, match="not a value of JSON"):
        strict_json(f'{{"a":{constant}}}'.encode())


def test_a_bundle_is_read_as_it_was_written() -> None:
    assert read_bundle(bundle_text(SIGNED).encode()) == SIGNED


@pytest.mark.parametrize("form", ["", "c2ln\n", " c2ln", "c2l_", "c2ln=", "c2k", "c2l=", "c2ln====", 1, None, ["c2ln"]])
def test_another_form_of_base64_is_refused(form: object) -> None:
    bundle = json.loads(bundle_text(SIGNED))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = form
    with pytest.raises(TrustError, match="not base64"):
        read_bundle(json.dumps(bundle).encode())


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.dev.sigstore.bundle.v0.2+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "Application/vnd.dev.sigstore.bundle.v0.3+json",
    ],
)
def test_another_media_type_is_refused(kind: str) -> None:
    bundle = json.loads(bundle_text(SIGNED)) | {"mediaType": kind}
    with pytest.raises(TrustError, match="media type"):
        read_bundle(json.dumps(bundle).encode())


@pytest.mark.parametrize("kind", ["application/vnd.in-toto+JSON", "application/vnd.in-toto+json ", "", None])
def test_another_payload_type_is_refused(kind: str | None) -> None:
    bundle = json.loads(bundle_text(SIGNED))
    bundle["dsseEnvelope"]["payloadType"] = kind
    with pytest.raises(TrustError, match="payload"):
        read_bundle(json.dumps(bundle).encode())


RULE = ProvenanceRule(repository=f"{REPOSITORY.upper()}.git/", branches=("refs/heads/main", "refs/heads/release/*"))


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/release/1"])
def test_a_branch_that_the_rule_names_passes(ref: str) -> None:
    check_rule(read_statement(statement(ref)), RULE)


@pytest.mark.parametrize(
    "ref",
    [
        *("main", "refs/heads/main-evil", "refs/heads/Main", "refs/heads/evil/main", "refs/heads/main/", "", "*"),
        *("x/refs/heads/main", "refs/tags/main", "refs/heads/release/1/x", "refs/heads/main\n", "refs\\heads\\main"),
    ],
)
def test_a_branch_that_looks_like_it_is_refused(ref: str) -> None:
    with pytest.raises(TrustError, match="what the policy demands"):
        check_rule(read_statement(statement(ref)), RULE)


@pytest.mark.parametrize(
    ("branches", "passing", "refused"),
    [
        (
            ("main",),
            ["refs/heads/main"],
            ["refs/tags/main", "refs/heads/dev", "refs/pull/1/main", "main", "heads/main"],
        ),
        (("heads/main",), ["refs/heads/heads/main"], ["refs/heads/main"]),
        (
            ("release/*",),
            ["refs/heads/release/1"],
            ["refs/tags/release/1", "refs/heads/release/1/x", "refs/heads/main"],
        ),
        (("**",), ["refs/heads/main", "refs/heads/a/b"], ["refs/tags/v1", "refs/pull/5/merge"]),
        (("refs/tags/v*",), ["refs/tags/v1"], ["refs/heads/v1", "refs/heads/refs/tags/v1"]),
        (("{main,refs/tags/v*}",), ["refs/heads/main", "refs/tags/v1"], ["refs/tags/main", "refs/heads/v1"]),
        (("@(main|dev)",), ["refs/heads/dev"], ["refs/tags/dev", "refs/heads/other"]),
    ],
)
def test_a_name_without_refs_is_a_branch(branches: tuple[str, ...], passing: list[str], refused: list[str]) -> None:
    rule = ProvenanceRule(repository=REPOSITORY, branches=branches)
    for ref in passing:
        check_rule(read_statement(statement(ref)), rule)
    for ref in refused:
        with pytest.raises(TrustError, match=f"built from {ref}, not refs/"):
            check_rule(read_statement(statement(ref)), rule)


@pytest.mark.parametrize("pattern", ["", "!main", "refs\\heads\\main", "main;dev", "'main'", "@(a/b|c)"])
def test_what_is_not_a_pattern_of_branches_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        ProvenanceRule(repository=REPOSITORY, branches=(pattern,))


@pytest.mark.parametrize(
    "repository", [f"{REPOSITORY}-evil", f"{REPOSITORY}/x", REPOSITORY.replace("k", "\u212a"), REPOSITORY[:-1], ""]
)
def test_a_repository_that_looks_like_it_is_refused(repository: str) -> None:
    with pytest.raises(TrustError, match="built from the repository"):
        check_rule(read_statement(statement(repository=repository)), RULE)
