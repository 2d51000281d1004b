"""ClickOnce and VSTO: what was published is signed inside out, and an independent judge accepts both signatures of each
manifest; a folder signed in part, or changed, is refused before a signature is spent."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from kspsign.authenticode.clickonce.file import ManifestFile
from kspsign.authenticode.clickonce.files import files_finding
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.signable import Digest
from kspsign.model.values import DigestAlgorithm, Format
from support.certificates import signing_file
from support.formats.clickonce_judge import ASM_V1, ASM_V2, DSIG, judge
from support.formats.clickonce_samples import NO_TOKEN, Published, application_manifest, publish
from support.formats.peimages import build_pe
from support.pki import new_key
from support.samples import Run, kspsign
from support.signing import Publisher

FILES = 7
"""Those of a published folder: three of the application, its manifest, the deployment's and its copy, setup.exe."""


def sign(publisher: Publisher, published: Published, *options: object) -> Run:
    return publisher.sign(Path(), "--folder", published.folder, *options)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outcomes(run: Run) -> dict[str, str]:
    return {Path(file["path"]).name: file["outcome"] for file in run.report["files"]}


@pytest.fixture(scope="module", params=["application", "vsto"])
def signed(
    request: pytest.FixtureRequest, publisher: Publisher, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Published, Run]:
    published = publish(tmp_path_factory.mktemp("published"), vsto=request.param == "vsto")
    return published, sign(
        publisher, published, "--description", "App & <more>", "--description-url", "https://x.test/"
    )


def test_all_that_was_published_is_signed(publisher: Publisher, signed: tuple[Published, Run]) -> None:
    published, run = signed
    assert run.code == 0, run.text
    formats = {Path(file["path"]).name: file["format"] for file in run.report["files"]}
    assert formats[published.application.name] == "clickonce-application"
    assert formats[published.deployment.name] == "clickonce-deployment"
    # Two for each manifest: a strong name and the publisher's; the deployment's copy is the same content.
    assert run.report["totals"]["signatures_used"] == 3 + 2 + 2
    patterns = ("**", "!**/*.config.deploy", "--folder", published.folder)
    verdict = kspsign("verify", *patterns, "--trust-root", publisher.roots, folder=published.folder)
    assert verdict.code == 0, verdict.text
    assert verdict.report["totals"]["verified"] == FILES - 1


def test_an_independent_judge_accepts_both_signatures(signed: tuple[Published, Run]) -> None:
    published, _ = signed
    for path in (published.application, published.deployment, published.copy):
        judged = judge(path)
        assert judged.ok, (path, judged.checks)
    assert published.copy.read_bytes() == published.deployment.read_bytes()


def test_what_is_stated_is_what_lies_there(signed: tuple[Published, Run]) -> None:
    """Read by lxml: sizes, hashes, and the identity of the application in the deployment."""
    published, _ = signed
    application = etree.fromstring(published.application.read_bytes())
    stated = {found.get("codebase") or found.get("name"): found for found in application.iter() if found.get("size")}
    assert len(stated) == len(published.files) - 1
    for name, entry in stated.items():
        path = published.application.parent / f"{name.replace(chr(92), '/')}.deploy"
        assert int(entry.get("size")) == path.stat().st_size
        assert bytes.fromhex(sha256(path)) == etree_digest(entry)
    (listed,) = etree.fromstring(published.deployment.read_bytes()).iter(f"{ASM_V2}dependentAssembly")
    assert etree_digest(listed) == bytes.fromhex(sha256(published.application))
    own = application.find(f"{ASM_V1}assemblyIdentity")
    assert dict(listed.find(f"{ASM_V2}assemblyIdentity").attrib) == dict(own.attrib)
    assert own.get("publicKeyToken") != NO_TOKEN


def etree_digest(entry: etree._Element) -> bytes:
    return base64.b64decode(entry.findtext(f"{ASM_V2}hash/{DSIG}DigestValue"))


def test_a_second_run_has_nothing_to_do(publisher: Publisher, tmp_path: Path) -> None:
    published = publish(tmp_path)
    assert sign(publisher, published).code == 0
    run = sign(publisher, published)
    assert (run.code, run.report["totals"]["signatures_used"]) == (0, 0), run.text
    assert set(outcomes(run).values()) == {"skipped"}


def test_signed_again_after_its_files_were(publisher: Publisher, tmp_path: Path) -> None:
    """As Visual Studio publishes: manifests signed, programs not."""
    published = publish(tmp_path)
    manifests = publisher.sign(Path("**/*.{manifest,application}"), "--folder", tmp_path)
    assert manifests.report["totals"]["signatures_used"] == 4, manifests.text
    before = published.application.read_bytes()
    run = sign(publisher, published)
    failures = {file["error"]["code"] for file in run.report["files"] if file["error"]}
    assert failures == {"ALREADY_SIGNED"}
    assert published.application.read_bytes() == before
    assert sign(publisher, published, "--replace").code == 0
    assert judge(published.application).ok
    assert judge(published.deployment).ok


def test_what_a_cut_off_run_left_is_completed(publisher: Publisher, tmp_path: Path) -> None:
    """Programs signed, manifests not yet: the manifest's hash is that of the program without its signature."""
    published = publish(tmp_path)
    assert publisher.sign(Path("**/*.{exe,dll}.deploy"), "--folder", tmp_path).code == 0
    run = sign(publisher, published)
    assert run.code == 0, run.text
    assert judge(published.application).ok
    # The application manifest alone is signed: the deployment knows it by its identity.
    again = publish(tmp_path / "again")
    assert publisher.sign(Path("again/**/*.{exe.deploy,dll.deploy,manifest}"), "--folder", tmp_path).code == 0
    assert sign(publisher, again).code == 0
    assert judge(again.deployment).ok


def test_stamped_later_and_taken_out(publisher: Publisher, tmp_path: Path) -> None:
    published = publish(tmp_path)
    path = published.application
    assert publisher.sign(Path(), "--folder", tmp_path, stamped=False).code == 0
    assert publisher.verify(path).error_code == "TRUST_E_TIME_STAMP"
    assert publisher.stamp(path).code == 0
    assert publisher.verify(path).code == 0
    assert judge(path).ok
    stamped = path.read_bytes()
    assert kspsign("remove", path, folder=tmp_path).code == 0
    unsigned = path.read_bytes()
    assert b"Signature" not in unsigned
    assert b"publisherIdentity" in unsigned
    assert publisher.sign(path).code == 0
    assert open_signable(path, Format.CLICKONCE_APPLICATION).signatures
    assert len({manifest_digest(path, data) for data in (stamped, unsigned)}) == 1


def manifest_digest(path: Path, data: bytes) -> bytes:
    """What a signature of the manifest covers."""
    path.write_bytes(data)
    found = open_signable(path, Format.CLICKONCE_APPLICATION).digest([DigestAlgorithm.SHA256])
    assert isinstance(found, Digest)
    return found.values[DigestAlgorithm.SHA256]


def test_the_plan_counts_two_for_each_manifest(publisher: Publisher, tmp_path: Path) -> None:
    published = publish(tmp_path)
    before = {path: path.read_bytes() for path in (*published.files, published.application, published.deployment)}
    run = sign(publisher, published, "--dry-run")
    assert (run.code, run.report["totals"]["signatures_needed"]) == (0, 7), run.text
    assert {path: path.read_bytes() for path in before} == before
    short = sign(publisher, published, "--max-signatures", "4")
    assert "BUDGET_SPENT" in {file["error"]["code"] for file in short.report["files"] if file["error"]}
    assert published.deployment.read_bytes() == before[published.deployment]


def test_only_the_manifest_of_signed_files(publisher: Publisher, tmp_path: Path) -> None:
    """A manifest that was created after its files were signed keeps every hash."""
    published = publish(tmp_path)
    assert publisher.sign(Path("**/*.{exe,dll}.deploy"), "--folder", tmp_path).code == 0
    files = {
        "App.exe": (published.application.parent / "App.exe.deploy").read_bytes(),
        "App.exe.config": (published.application.parent / "App.exe.config.deploy").read_bytes(),
    }
    unsigned = application_manifest(files)
    published.application.write_bytes(unsigned)
    assert publisher.sign(published.application).code == 0
    assert judge(published.application).ok
    head, tail = unsigned.split(NO_TOKEN.encode())
    signed = published.application.read_bytes()
    assert signed.startswith(head)
    assert tail.removesuffix(b"</asmv1:assembly>") in signed


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda found: found.files[0].write_bytes(build_pe(overlay=b"another")), "TRUST_E_BAD_DIGEST", "has the hash"),
        (lambda found: found.files[2].write_bytes(b"<other />"), "TRUST_E_BAD_DIGEST", "App.exe.config has the hash"),
        (lambda found: found.files[2].unlink(), "ERROR_FILE_NOT_FOUND", "App.exe.config, which is not there"),
        (lambda found: rewrite(found.application, b"#sha256", b"#sha1"), "NTE_BAD_ALGID", "SHA-1"),
        (lambda found: rewrite(found.application, b"#sha256", b"#md5"), "ERROR_BAD_FORMAT", "unknown algorithm"),
        (lambda found: rewrite(found.application, b"Transforms.Identity", b"Transforms.Other"), "ERROR_BAD_FORMAT", ""),
        (lambda found: rewrite(found.application, b'"App.exe.config"', b'"..\\App.exe"'), "ERROR_BAD_FORMAT", "path"),
        (lambda found: rewrite(found.application, b'"App.exe.config"', b'"C:\\App.exe"'), "ERROR_BAD_FORMAT", "path"),
        (
            lambda found: rewrite(found.application, b"publicKeyToken", b"publicKey"),
            "ERROR_NOT_SUPPORTED",
            "publicKeyT",
        ),
        (lambda found: rewrite(found.application, b'"App.exe.config"', b'"NUL"'), "ERROR_BAD_FORMAT", "device"),
        (lambda found: rewrite(found.application, b'"App.exe.config"', b'"x. "'), "ERROR_BAD_FORMAT", "dot or a space"),
        (lambda found: rewrite(found.application, b' size="', b' asmv2:size="1" size="'), "ERROR_BAD_FORMAT", "twice"),
        (
            lambda found: rewrite(
                found.application,
                b"<application />",
                b'<dependentAssembly asmv2:codebase="x.dll" asmv2:dependencyType="install" asmv2:size="1"/>',
            ),
            "ERROR_BAD_FORMAT",
            "no hash of x.dll",
        ),
        (
            lambda found: (found.application.parent / "App.exe").write_bytes(b"another"),
            "ERROR_BAD_FORMAT",
            "both there",
        ),
        (lambda found: rewrite(found.application, b"<hash>", b"<hash/><hash>"), "ERROR_BAD_FORMAT", "2 hashes"),
        (lambda found: rewrite(found.application, b' size="', b' length="'), "ERROR_BAD_FORMAT", "no size"),
        (
            lambda found: rewrite(
                found.application, b"<asmv1:assembly ", b"<!DOCTYPE a [<!ENTITY b 'c'>]><asmv1:assembly "
            ),
            "TRUST_E_SUBJECT_FORM_UNKNOWN",
            "",
        ),
    ],
)
def test_refused_before_a_signature_is_spent(
    publisher: Publisher, tmp_path: Path, change: Callable[[Published], object], code: str, words: str
) -> None:
    published = publish(tmp_path)
    change(published)
    before = published.application.read_bytes()
    run = publisher.sign(published.application)
    assert run.code != 0
    assert run.error_code == code, run.text
    assert words in run.text
    assert run.report["totals"]["signatures_used"] == 0
    assert published.application.read_bytes() == before


def rewrite(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def test_a_manifest_s_own_namespaces_do_not_keep_it_from_being_restated(publisher: Publisher, tmp_path: Path) -> None:
    """Attributes as older manifests write them, and a prefix with the name of one."""
    published = publish(tmp_path)
    rewrite(published.application, b' size="', b' xmlns:size="urn:x" asmv2:size="')
    assert sign(publisher, published).code == 0
    assert publisher.verify(published.application).code == 0


def test_a_deployment_of_an_unsigned_application(publisher: Publisher, tmp_path: Path) -> None:
    published = publish(tmp_path)
    before = published.deployment.read_bytes()
    file = open_signable(published.deployment, Format.CLICKONCE_DEPLOYMENT)
    assert isinstance(file, ManifestFile)
    assert files_finding(file.references(), file.manifest).detail.endswith("App.exe.manifest is not signed")
    run = publisher.sign(published.deployment)
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("TRUST_E_NOSIGNATURE", 0), run.text
    assert published.deployment.read_bytes() == before
    assert sign(publisher, published).code == 0
    assert sign(publisher, published, "--replace").code == 0


def linked(path: Path, folder: Path) -> Path:
    """The file in another folder, with a link in its place."""
    folder.mkdir(exist_ok=True)
    real = path.rename(folder / path.name)
    path.symlink_to(real)
    return real


@pytest.mark.parametrize("patterns", [".", "publish", "publish/**/*.manifest\nshared/*.deploy"])
def test_a_listed_link_is_signed_before_its_manifest(publisher: Publisher, tmp_path: Path, patterns: str) -> None:
    """By whatever name the run has the file that it leads to."""
    published = publish(tmp_path / "publish")
    real = linked(published.files[1], tmp_path / "shared")
    (tmp_path / "list").write_text(patterns)
    run = publisher.sign(Path("@list"), "--folder", tmp_path, "--jobs", "1")
    assert run.code == 0, run.text
    assert published.files[1].is_symlink()
    assert publisher.peer(real).accepted
    assert judge(published.application).ok
    assert publisher.verify(published.application).code == 0


@pytest.mark.parametrize(("number", "fitting"), [(1, False), (2, True)])
def test_a_link_out_of_the_folder(publisher: Publisher, tmp_path: Path, number: int, fitting: bool) -> None:
    """It is not signed, and so is no manifest that lists it: unless it is signed there, or never signed (.config)."""
    published = publish(tmp_path / "publish")
    real = linked(published.files[number], tmp_path / "elsewhere")
    before = published.application.read_bytes()
    if not fitting:
        for options in ((), ("--dry-run",)):
            run = sign(publisher, published, *options)
            error = {Path(file["path"]).name: file["error"] for file in run.report["files"]}[published.application.name]
            assert error["code"] == "TRUST_E_NOSIGNATURE"
            assert "lib\\Helper.dll, which it lists, is not signed, and would not be: a link out" in error["message"]
            assert error["remedy"].endswith(f"or sign {real} first.")
            assert published.application.read_bytes() == before
        assert publisher.sign(real).code == 0
        files = {"App.exe": published.files[0].read_bytes(), "lib\\Helper.dll": real.read_bytes()}
        published.application.write_bytes(application_manifest(files))
    done = publisher.sign(Path("**/App_1_0_0_0/**"), "--folder", published.folder, "--skip-signed")
    assert outcomes(done)[published.application.name] == "signed", done.text
    assert publisher.verify(published.application).code == 0


@pytest.mark.parametrize("number", [1, 2])
def test_slices_do_not_divide_an_application(publisher: Publisher, tmp_path: Path, number: int) -> None:
    published = publish(tmp_path)
    before = published.files[0].read_bytes()
    run = sign(publisher, published, "--slice", f"{number}/2")
    assert (run.code, "without slice" in run.text) == (3, True), run.text
    assert published.files[0].read_bytes() == before


def test_certificates_and_timestamps_are_taken_out_apart(signed: tuple[Published, Run]) -> None:
    """What `signtool remove /c` and `/u` do: everything signed keeps its bytes."""
    published, _ = signed
    file = open_signable(published.application, Format.CLICKONCE_APPLICATION)
    (whole,) = file.signatures
    bare = file.profile.reduce(whole, certificates=True, unsigned_attributes=True)
    assert file.profile.read(whole).tokens
    assert not file.profile.read(bare).tokens
    assert file.profile.read(bare).signer_fault() is None
    assert file.profile.add_timestamp(bare, file.profile.read(whole).tokens[0]) == whole


def test_keys_that_windows_does_not_take(publisher: Publisher, tmp_path: Path) -> None:
    published = publish(tmp_path / "published")
    file = signing_file(tmp_path, key=new_key())
    other = Publisher(file, publisher.timestamp_url, file.root)
    for run in (
        other.sign(published.application),
        publisher.sign(published.application, "--digest", "sha384"),
    ):
        assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_NOT_SUPPORTED", 0), run.text
    assert publisher.sign(Path("published"), "--folder", tmp_path).code == 0
    appended = publisher.sign(published.application, "--append")
    assert (appended.error_code, appended.report["totals"]["signatures_used"]) == ("ERROR_NOT_SUPPORTED", 0)


def test_a_published_folder_in_an_archive_is_signed_before_it_is_packed(publisher: Publisher, tmp_path: Path) -> None:
    """Whether or not a pattern names the manifest: it would not fit its files any more."""
    publish(tmp_path / "published")
    archive = Path(shutil.make_archive(str(tmp_path / "drop"), "zip", tmp_path / "published"))
    before = archive.read_bytes()
    for pattern in ("**", "drop.zip/**/*.dll.deploy"):
        run = publisher.sign(Path("drop.zip"), "--folder", tmp_path, f"--inside={pattern}")
        rows = {file["path"]: file["error"]["code"] for file in run.report["files"] if file["error"]}
        assert rows.get("drop.zip") == "ERROR_NOT_SUPPORTED", run.text
        assert "then pack it" in run.text
        assert run.report["totals"]["signatures_used"] == 0
    assert archive.read_bytes() == before
