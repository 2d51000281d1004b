"""What other programs could read differently is refused, and a rule holds for what it names alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from kspsign.model.errors import TrustError
from kspsign.provenance.bundle import SignedStatement, bundle_text, read_bundle
from kspsign.provenance.statement import BUILDERS, read_statement
from kspsign.provenance.strict_json import strict_json
from kspsign.verifying.policy.model import ProvenanceRule
from kspsign.verifying.provenance import check_rule
from support.provenance.forging import FILE, REPOSITORY, source
from support.provenance.forging import statement as content

SIGNED = SignedStatement(b"{}", b"sig", (b"a",), None)


def statement(*sides: str, **internal: Any) -> bytes:
    """A statement of one subject."""
    return json.dumps(content(*sides, **internal)).encode()


def test_a_statement_is_read() -> None:
    assert read_statement(statement()).digests == {FILE}


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


def _definition(statement: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = statement["predicate"]["buildDefinition"]
    return found


def _subjects(*more: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda said: said["subject"].extend(more)


def _sources(*found: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda said: _definition(said).update(resolvedDependencies=[*found])


def _read(kind: str, **more: Any) -> dict[str, Any]:
    return {"name": "release.yml", "digest": {"sha256": FILE}, "annotations": {"kind": kind, **more}}


def _times(**times: str) -> Callable[[dict[str, Any]], None]:
    return lambda said: said["predicate"]["runDetails"]["metadata"].update(times)


def _builder(**sides: Any) -> Callable[[dict[str, Any]], None]:
    return lambda said: said["predicate"]["runDetails"]["builder"].update(sides)


OTHER = {"name": "b.dll", "digest": {"sha256": "b" * 64}, "annotations": {"state": "before signing"}}
TAKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "another file": _subjects(OTHER),
    "its policy and its configuration": _sources(source(), _read("policy"), _read("configuration")),
    "a commit by SHA-256": _sources(source(commit="c" * 64)),
}
REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a file twice": _subjects(OTHER, OTHER),
    "two files of one name": _subjects({**OTHER, "name": "a.dll"}),
    "a file without name": _subjects({**OTHER, "name": ""}),
    "a file without digest": _subjects({**OTHER, "digest": {}}),
    "a digest of another kind": _subjects({**OTHER, "digest": {"sha1": "a" * 40}}),
    "a digest more": _subjects({**OTHER, "digest": {"sha256": FILE, "sha512": "a" * 128}}),
    "a digest in other digits": _subjects({**OTHER, "digest": {"sha256": "\u0661" * 64}}),
    "a digest and a line feed": _subjects({**OTHER, "digest": {"sha256": f"{FILE}\n"}}),
    "a state that is not known": _subjects({**OTHER, "annotations": {"state": "reviewed"}}),
    "an annotation that is not known": _subjects({**OTHER, "annotations": {"reviewed": "yes"}}),
    "a field of a file": _subjects({**OTHER, "uri": "https://x.example"}),
    "no file": lambda said: said.update(subject=[]),
    "no source": _sources(),
    "the configuration alone": _sources(_read("configuration")),
    "two commits": _sources(source(), source(commit="f" * 40)),
    "the source of another repository": _sources(source("https://x.example/kit")),
    "the source of another branch": _sources(source(ref="refs/heads/x")),
    "a source more": _sources(source(), source("https://x.example/kit")),
    "half a commit": _sources(source(commit="c" * 41)),
    "a commit in capitals": _sources(source(commit="C" * 40)),
    "a source without commit": _sources({**source(), "digest": {}}),
    "an annotation of the source": _sources({**source(), "annotations": {"kind": "policy"}}),
    "two policies": _sources(source(), _read("policy"), _read("policy")),
    "a file of another kind": _sources(source(), _read("dependency")),
    "a file with an annotation more": _sources(source(), _read("policy", more="yes")),
    "no type": lambda said: said.pop("_type"),
    "the type by another name": lambda said: said.update(type_=said.pop("_type")),
    "an older type": lambda said: said.update(_type="https://in-toto.io/Statement/v0.1"),
    "no type of the predicate": lambda said: said.pop("predicateType"),
    "an older predicate": lambda said: said.update(predicateType="https://slsa.dev/provenance/v0.2"),
    "a verification summary": lambda said: said.update(predicateType="https://slsa.dev/verification_summary/v1"),
    "another way of building": lambda said: _definition(said).update(buildType="https://x.example"),
    "no repository": lambda said: _definition(said)["externalParameters"].update(repository=""),
    "no branch": lambda said: _definition(said)["externalParameters"].update(ref=""),
    "a parameter more": lambda said: _definition(said)["externalParameters"].update(inputs={}),
    "another builder": _builder(id="https://x.example/builders/task"),
    "a builder of ours that there is not": _builder(id=f"{BUILDERS['task']}/reviewed"),
    "another version": _builder(version={"other": "1.0.0"}),
    "a time that is not one": _times(startedOn="yesterday"),
    "a time of another zone": _times(finishedOn="2026-01-31T12:00:00+01:00"),
    "no run": _times(invocationId=""),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_known_of_a_build_is_read(name: str) -> None:
    said = content()
    TAKEN[name](said)
    read_statement(json.dumps(said).encode())


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused(name: str) -> None:
    said = content()
    REFUSED[name](said)
    with pytest.raises(TrustError, match="the statement is not one of kspsign's"):
        read_statement(json.dumps(said).encode())


@pytest.mark.parametrize("half", ["\\ud800", "\\udc00", "\\ud83d x", "\\ude00\\ud83d"])
def test_half_a_character_is_refused(half: str) -> None:
    """Programs show it as different characters, and none can write it."""
    with pytest.raises(TrustError, match="it is not JSON"):
        read_statement(statement().replace(b"a.dll", half.encode()))


def test_a_whole_character_is_read() -> None:
    (subject,) = read_statement(statement().replace(b"a.dll", b"\\ud83d\\ude00")).subject
    assert subject.name == "\U0001f600"


@pytest.mark.parametrize("rest", [b"{}", b" x", b"\0", b","])
def test_what_follows_is_refused(rest: bytes) -> None:
    with pytest.raises(TrustError, match="it is not JSON"):
        read_statement(statement() + rest)
    with pytest.raises(TrustError, match="it is not JSON"):
        read_bundle(bundle_text(SIGNED).encode() + rest)


def test_a_bundle_of_millions_of_values_is_refused_unread() -> None:
    """They would take a hundred times the memory of the text."""
    with pytest.raises(TrustError, match="more parts"):
        read_bundle(bundle_text(SIGNED).replace('"tlogEntries": []', f'"tlogEntries": [{"[]," * 10_000}[]]').encode())


def test_a_certificate_that_comes_twice_is_refused() -> None:
    with pytest.raises(TrustError, match="a certificate comes twice"):
        read_bundle(bundle_text(SIGNED._replace(chain=(b"a", b"b", b"a"))).encode())


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
        *("main", "refs/heads/main-evil", "refs/heads/Main", "refs/heads/evil/main", "refs/heads/main/", "*"),
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
    "repository", [f"{REPOSITORY}-evil", f"{REPOSITORY}/x", REPOSITORY.replace("k", "\u212a"), REPOSITORY[:-1]]
)
def test_a_repository_that_looks_like_it_is_refused(repository: str) -> None:
    with pytest.raises(TrustError, match="built from the repository"):
        check_rule(read_statement(statement("refs/heads/main", repository)), RULE)
