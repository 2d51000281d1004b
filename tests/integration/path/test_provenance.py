"""Provenance: written once for a run, believed by other programs, and refused after any change."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.predicates.vsa.v1.vsa_pb2 import VerificationSummary
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from kspsign.ledger.read import key_uses, read_ledger
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.peimages import build_pe
from support.provenance.runs import COMMIT, REPOSITORY, SOURCE, sign
from support.samples import Run, kspsign_at
from support.signing import Publisher

SPDX = '{"name": "app", "spdxVersion": "SPDX-2.3"}'
CYCLONEDX = '{"bomFormat": "CycloneDX", "specVersion": "1.6"}'


@dataclass(frozen=True)
class Proved:
    """A folder of signed files, the bundle on them, and the run that signed."""

    folder: Path
    roots: Path
    run: Run

    @property
    def bundle(self) -> dict[str, Any]:
        """The bundle as JSON."""
        return dict(json.loads((self.folder / "p.json").read_text()))

    @property
    def statement(self) -> dict[str, Any]:
        """The payload as JSON."""
        return dict(json.loads(base64.b64decode(self.bundle["dsseEnvelope"]["payload"])))


@pytest.fixture(scope="module")
def proved(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Proved:
    folder = tmp_path_factory.mktemp("proved")
    for number in range(2):
        (folder / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    (folder / "app.spdx.json").write_text(SPDX)
    (folder / "bom.json").write_text(CYCLONEDX)
    (folder / "notes.bom.json").write_text('{"milk": 1}')
    done = sign(publisher, folder)
    assert done.code == 0, done.text
    return Proved(folder, publisher.roots, done)


@pytest.fixture
def verify(proved: Proved, tmp_path: Path) -> Callable[..., Run]:
    """Verifies the files by a bundle, which is given as JSON, and a policy."""

    def run(bundle: dict[str, Any] | None = None, policy: str = "", *outputs: object) -> Run:
        (tmp_path / "bundle.json").write_text(
            (proved.folder / "p.json").read_text() if bundle is None else json.dumps(bundle)
        )
        (tmp_path / "policy.yml").write_text(policy)
        more = ("--policy", tmp_path / "policy.yml") if policy else ()
        options = ("--folder", proved.folder, "--trust-root", proved.roots, "--provenance", tmp_path / "bundle.json")
        return kspsign_at("verify", "*.dll", *options, *more, *outputs, folder=tmp_path)

    return run


def test_it_states_files_source_and_run_for_one_signature(proved: Proved) -> None:
    statement = proved.statement
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    for name, file in proved.run.files.items():
        assert subjects[name] == file["sha256_after"]
        assert subjects[f"{name} (before signing)"] == file["sha256_before"] != file["sha256_after"]
    assert {"app.spdx.json", "bom.json"} == {name for name in subjects if "dll" not in name}
    definition = statement["predicate"]["buildDefinition"]
    expected = {"repository": REPOSITORY, "ref": "refs/heads/main", "definition": {"name": "release", "id": "12"}}
    assert definition["externalParameters"] == expected
    assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": COMMIT}
    run = statement["predicate"]["runDetails"]["metadata"]["invocationId"]
    assert run == "https://dev.azure.com/acme/4f2c/_build/results?buildId=4711"
    assert proved.run.report["totals"]["signatures_used"] == 3
    uses = key_uses(read_ledger(proved.folder / "ledger.jsonl").entries)
    assert [use.files for use in uses if use.outcome == "embedded"][-1] == ("p.json",)
    assert proved.run.report["provenance"]["subjects"] == len(subjects)


def test_other_programs_believe_it(proved: Proved) -> None:
    bundle = proved.bundle
    leaf = base64.b64decode(bundle["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"])
    public = x509.load_der_x509_certificate(leaf).public_key()
    known = SSlibKey.from_crypto(public, scheme="rsa-pkcs1v15-sha256")
    key = SSlibKey("", known.keytype, known.scheme, known.keyval)
    Envelope.from_dict(json.loads(json.dumps(bundle["dsseEnvelope"]))).verify([key], 1)
    changed = json.loads(json.dumps(bundle["dsseEnvelope"]))
    changed["payload"] = base64.b64encode(json.dumps({**proved.statement, "subject": []}).encode()).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(changed).verify([key], 1)
    statement = Statement.copy_from_pb(json_format.ParseDict(proved.statement, Statement([], "", {}).pb))
    statement.validate()
    json_format.ParseDict(proved.statement["predicate"], Provenance())


def test_it_is_demanded_of_each_file(verify: Callable[..., Run]) -> None:
    done = verify()
    assert done.code == 0, done.text
    (check,) = [check for check in done.files["0.dll"]["verdict"]["checks"] if check["name"] == "provenance"]
    assert check["ok"]
    assert REPOSITORY in check["detail"]
    assert COMMIT in check["detail"]
    assert done.report["provenance"]["commit"] == COMMIT


def test_a_file_that_is_not_a_subject_fails(proved: Proved, publisher: Publisher, verify: Callable[..., Run]) -> None:
    other = proved.folder / "other.dll"
    other.write_bytes(build_pe(overlay=b"other"))
    try:
        assert publisher.sign(other).code == 0
        done = verify()
    finally:
        other.unlink()
    assert done.code == 2
    message = done.files["other.dll"]["error"]["message"]
    assert message.startswith(
        "The provenance does not state this content: another run signed the file, or it was changed"
    )
    file = Path(done.report["provenance"]["file"])
    assert message.endswith(f"(provenance: the file is not a subject of {file})")
    assert done.files["0.dll"]["verdict"]["result"] == "verified"


def _payload(bundle: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


def _other_key(bundle: dict[str, Any]) -> None:
    """A second signature, by another key, that is right in itself."""
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    from kspsign.provenance.bundle import encoded_to_sign  # noqa: PLC0415 - of this case alone

    envelope = bundle["dsseEnvelope"]
    key = ec.generate_private_key(ec.SECP256R1())
    value = key.sign(encoded_to_sign(base64.b64decode(envelope["payload"])), ec.ECDSA(SHA256()))
    envelope["signatures"].append({"sig": base64.b64encode(value).decode(), "keyid": ""})


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a subject": lambda bundle: _payload(bundle, lambda said: said["subject"][0]["digest"].update(sha256="0" * 64)),
    "a subject less": lambda bundle: _payload(bundle, lambda said: said["subject"].pop()),
    "the predicate": lambda bundle: _payload(
        bundle, lambda said: said["predicate"]["buildDefinition"]["externalParameters"].update(ref="refs/heads/x")
    ),
    "the predicate's type": lambda bundle: _payload(
        bundle, lambda said: said.update(predicateType="https://x.example")
    ),
    "a field more": lambda bundle: _payload(bundle, lambda said: said.update(more=1)),
    "the payload's type": lambda bundle: bundle["dsseEnvelope"].update(payloadType="application/json"),
    "a second signature": _other_key,
    "no signature": lambda bundle: bundle["dsseEnvelope"]["signatures"].clear(),
    "a key's name": lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(keyid="other"),
    "no timestamp": lambda bundle: bundle["verificationMaterial"].pop("timestampVerificationData"),
    "no chain": lambda bundle: bundle["verificationMaterial"]["x509CertificateChain"].update(certificates=[]),
    "an entry of a log": lambda bundle: bundle["verificationMaterial"]["tlogEntries"].append({"logIndex": "1"}),
    "a field of the bundle": lambda bundle: bundle.update(more=1),
    "the media type": lambda bundle: bundle.update(mediaType="application/json"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_after_any_change_it_is_refused(name: str, proved: Proved, verify: Callable[..., Run]) -> None:
    bundle = proved.bundle
    CHANGES[name](bundle)
    done = verify(bundle)
    assert done.code == 2, done.text
    assert "the provenance does not hold" in done.report["error"]["message"]
    assert done.report["files"] == []


def test_another_publishers_provenance_is_refused(
    verify: Callable[..., Run], tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statement, signed by a key whose certificate no root here is for."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "0.dll").write_bytes(build_pe())
    other = Publisher(signing_file(folder, key=rsa_key(2048)), publisher.timestamp_url, tmp_path / "both.pem")
    other.roots.write_bytes(other.file.root.read_bytes() + publisher.roots.read_bytes())
    assert sign(other, folder).code == 0
    done = verify(json.loads((folder / "p.json").read_text()))
    assert (done.code, done.report["error"]["code"]) == (2, "CERT_E_UNTRUSTEDROOT")


PUBLISHER = "publisher:\n- subject: Test publisher\n"
DEMANDED = f"provenance:\n  repository: {REPOSITORY.upper()}.git\n  branches: [refs/heads/ma*]\n  definition: release\n"
RULE = PUBLISHER + DEMANDED


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (RULE, None),
        (RULE.replace("refs/heads/ma*", "main"), None),
        (RULE.replace("refs/heads/ma*", "refs/tags/main"), "built from refs/heads/main, not refs/tags/main"),
        (RULE.replace("APP", "OTHER"), "built from the repository"),
        (RULE.replace("ma*", "release/*"), "built from refs/heads/main, not refs/heads/release/*"),
        (RULE.replace("definition: release", "definition: nightly"), "built by the definition release, not nightly"),
        (f"{RULE}  by_task: true\n", "not by the task"),
        (RULE.replace("Test publisher", "Another publisher"), "policy-publisher: the signer is CN=Test publisher"),
    ],
)
def test_a_policy_demands_source_and_pipeline(policy: str, words: str | None, verify: Callable[..., Run]) -> None:
    done = verify(policy=policy)
    assert done.code == (0 if words is None else 2), done.text
    if words is not None:
        assert words in done.report["error"]["message"]


def test_a_policy_says_whose_statement_counts(verify: Callable[..., Run]) -> None:
    """Without a publisher anyone with a certificate of a trusted CA could state what the policy demands."""
    done = verify(policy=DEMANDED)
    assert (done.code, done.report["error"]["code"]) == (3, "POLICY"), done.text
    assert "provenance needs publisher" in done.report["error"]["message"]


def test_what_the_policy_would_refuse_is_not_signed(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "0.dll").write_bytes(build_pe())
    (tmp_path / "policy.yml").write_text(RULE.replace("ma*", "release/*"))
    done = sign(publisher, tmp_path, "--policy", "policy.yml")
    assert (done.code, done.report["totals"]["signatures_used"]) == (2, 0), done.text
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    ("options", "source", "words"),
    [
        ((), {}, "needs a pipeline"),
        ((), {name: text for name, text in SOURCE.items() if name != "BUILD_SOURCEVERSION"}, "lack the commit"),
        ((), {**SOURCE, "BUILD_SOURCEVERSION": "4711"}, "needs a commit of Git, and the pipeline built 4711"),
        ((), {**SOURCE, "BUILD_SOURCEVERSION": "C4711"}, "needs a commit of Git, and the pipeline built C4711"),
        (("--slice", "1/2"), SOURCE, "exclude each other"),
    ],
)
def test_what_can_have_no_provenance_is_said_before_anything_is_signed(
    options: tuple[str, ...], source: Mapping[str, str], words: str, publisher: Publisher, tmp_path: Path
) -> None:
    for number in range(2):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    done = sign(publisher, tmp_path, *options, source=source)
    assert (done.code, done.report["totals"]["signatures_used"]) == (3, 0), done.text
    assert words in done.report["error"]["message"]


def test_a_verification_summary_says_what_was_checked(
    proved: Proved, verify: Callable[..., Run], tmp_path: Path
) -> None:
    done = verify(None, RULE, "--vsa", tmp_path / "vsa.json")
    assert done.code == 0, done.text
    summary = json.loads((tmp_path / "vsa.json").read_text())
    Statement.copy_from_pb(json_format.ParseDict(summary, Statement([], "", {}).pb)).validate()
    # The package's schema is older: verifiedLevels is one text there, and a verifier has no version.
    predicate = json.loads(json.dumps(summary["predicate"]))
    levels, version = predicate.pop("verifiedLevels"), predicate["verifier"].pop("version")
    json_format.ParseDict(predicate, VerificationSummary())
    assert version == {"kspsign": done.report["tool"]["version"]}
    assert levels == ["SLSA_BUILD_LEVEL_UNEVALUATED"]
    assert {subject["name"]: subject["digest"]["sha256"] for subject in summary["subject"]} == {
        name: file["sha256_after"] for name, file in done.files.items()
    }
    predicate = summary["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["policy"]["digest"]["sha256"] == done.report["policy"]["sha256"]
    written = sha256((proved.folder / "p.json").read_bytes()).hexdigest()
    assert [found["digest"]["sha256"] for found in predicate["inputAttestations"]] == [written]
    refused = verify(None, RULE.replace("ma*", "x"), "--vsa", tmp_path / "vsa.json")
    assert refused.code == 2
    assert json.loads((tmp_path / "vsa.json").read_text())["predicate"]["verificationResult"] == "FAILED"


def test_the_limit_keeps_one_signature_for_it(publisher: Publisher, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    short = sign(publisher, tmp_path, "--max-signatures", 2, "--jobs", 1)
    assert (short.code, short.report["totals"]["signatures_used"]) == (1, 1), short.text
    assert not (tmp_path / "p.json").exists()
    assert "not every file is signed and verified" in short.text
    planned = sign(publisher, tmp_path, "--dry-run")
    assert planned.report["totals"]["signatures_needed"] == 2
    whole = sign(publisher, tmp_path, "--max-signatures", 2)
    assert (whole.code, whole.report["totals"]["signatures_used"]) == (0, 2), whole.text
