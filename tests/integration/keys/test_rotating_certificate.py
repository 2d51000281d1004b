"""A key store whose certificate is another one after each signature: no signature is wasted, and no file fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kspsign.authenticode.formats import open_signable
from kspsign.certificates.parse import thumbprint_of
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.values import Format
from kspsign.verifying import read_signatures
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.appx_samples import Package
from support.formats.clickonce_samples import publish
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.rotating_store import RotatingWorld
from support.samples import Run, assert_no_leftovers, kspsign_process, osslsigncode_verify
from support.timestamping.server import Stamping

IMAGES = 20


@pytest.fixture
def world(tmp_path: Path) -> RotatingWorld:
    world = RotatingWorld.create(tmp_path / "service")
    world.install()
    return world


def fill(dist: Path, *, images: int = IMAGES, nuget: bool = True) -> int:
    """Images that all differ, a package of each kind that names its certificate; returns how many files."""
    dist.mkdir(exist_ok=True)
    for number in range(images):
        (dist / f"{number:02}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    (dist / "app.msix").write_bytes(Package().build())
    if nuget:
        (dist / "lib.nupkg").write_bytes(package())
    return images + 1 + nuget


def arguments(world: RotatingWorld, *options: object) -> list[str]:
    dist, store = world.folder.parent / "dist", world.folder.parent / "store"
    given = ("run", dist, *options, "--store", store, "--trust-root", world.root)
    return [*map(str, given)]


def run_in(world: RotatingWorld, *options: object) -> Run:
    return kspsign_process(
        *arguments(world, *options), "--no-timestamp", folder=world.folder.parent, environment=world.environment
    )


def signer_in(path: Path, format_: Format) -> str:
    """The thumbprint of the certificate in the file's signature."""
    (signature,) = read_signatures(open_signable(path, format_))[0]
    assert signature.certificate is not None
    return thumbprint_of(signature.certificate)


def test_every_file_has_the_certificate_that_signed_it_and_no_signature_is_wasted(
    world: RotatingWorld, tmp_path: Path
) -> None:
    count = fill(tmp_path / "dist")
    run = run_in(world, *world.options)
    assert run.code == 0, run.text
    assert run.report["totals"]["verified"] == run.report["totals"]["signatures_used"] == count
    assert len(world.spent) == len({digest for digest, _leaf in world.spent}) == count
    reported = {Path(name).name: file["certificate"] for name, file in run.files.items()}
    assert len(set(reported.values())) == count
    assert set(reported.values()) == {leaf for _digest, leaf in world.spent}
    for name, file in run.files.items():
        assert [signature["thumbprint"] for signature in file["signatures"]] == [file["certificate"]]
        assert signer_in(tmp_path / "dist" / Path(name).name, Format(file["format"])) == file["certificate"]
    assert world.opened == 1
    for number in (0, IMAGES - 1):
        peer = osslsigncode_verify(tmp_path / "dist" / f"{number:02}.dll", world.root)
        assert peer.accepted, peer.text
    assert list((tmp_path / "store").rglob("*.journal")) == []


def test_what_an_earlier_certificate_signed_is_ours(world: RotatingWorld, tmp_path: Path) -> None:
    fill(tmp_path / "dist", images=2)
    assert run_in(world, *world.options).code == 0
    spent = world.spent
    again = run_in(world, *world.options)
    assert (again.code, {file["outcome"] for file in again.files.values()}) == (0, {"skipped"}), again.text
    assert {file["certificate"] for file in again.files.values()} == {None}
    assert world.spent == spent


def test_what_another_publisher_signed_is_not_ours(
    world: RotatingWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "dist", images=1, nuget=False)
    (tmp_path / "dist" / "app.msix").unlink()
    (tmp_path / "other").mkdir()
    other = signing_file(tmp_path / "other", subject="Another publisher", key=rsa_key(2048), root_key=rsa_key(2048))
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    theirs = kspsign_process("sign", tmp_path / "dist", *other.options, "--no-timestamp", folder=tmp_path)
    assert theirs.code == 0, theirs.text
    run = run_in(world, *world.options, "--trust-root", other.root)
    assert (run.code, run.error_code, world.spent) == (6, "ALREADY_SIGNED", []), run.text
    assert "CN=Another publisher" in run.file["error"]["message"]


def test_the_thumbprint_of_a_certificate_that_was_replaced_since_still_signs(
    world: RotatingWorld, tmp_path: Path
) -> None:
    count = fill(tmp_path / "dist", images=2)
    synced = subprocess.run(
        [sys.executable, "-m", "kspsign", "certsync", *world.options, "--store", str(tmp_path / "store")],
        env={**os.environ, **world.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    thumbprint = synced.stdout.splitlines()[-1]
    assert thumbprint == thumbprint_of(world.chain()[0])
    assert "renew it in time" not in synced.stdout + synced.stderr
    world.replace_certificate()
    run = run_in(world, "--thumbprint", thumbprint)
    assert run.code == 0, run.text
    assert len(world.spent) == count
    assert f"certificate {thumbprint} was renewed" in run.text
    assert thumbprint not in {leaf for _digest, leaf in world.spent}
    assert run.report["certificate"]["thumbprint"] != thumbprint


def test_the_same_content_costs_one_signature(world: RotatingWorld, tmp_path: Path) -> None:
    fill(tmp_path / "dist", images=1)
    for path in list((tmp_path / "dist").iterdir()):
        path.with_name(f"copy-{path.name}").write_bytes(path.read_bytes())
    run = run_in(world, *world.options)
    assert run.code == 0, run.text
    assert (run.report["totals"]["verified"], len(world.spent)) == (6, 3)


def test_a_certificate_replaced_between_its_name_and_the_signature_is_named_anew(
    world: RotatingWorld, tmp_path: Path
) -> None:
    fill(tmp_path / "dist", images=0)
    (tmp_path / "dist" / "app.msix").unlink()
    world.behave(restless=1)
    run = run_in(world, *world.options)
    assert run.code == 0, run.text
    assert (len(world.spent), run.report["totals"]["signatures_used"]) == (2, 2)
    assert run.file["certificate"] == world.spent[1][1]
    assert list((tmp_path / "store").rglob("*.journal")) == []


def test_a_package_whose_manifest_names_the_publisher_alone_needs_no_second_signature(
    world: RotatingWorld, tmp_path: Path
) -> None:
    fill(tmp_path / "dist", images=0, nuget=False)
    world.behave(restless=1)
    run = run_in(world, *world.options)
    assert run.code == 0, run.text
    assert run.file["certificate"] == world.spent[0][1]
    assert len(world.spent) == 1


def test_a_service_that_never_signs_with_what_it_names_is_given_up(world: RotatingWorld, tmp_path: Path) -> None:
    fill(tmp_path / "dist", images=0)
    (tmp_path / "dist" / "app.msix").unlink()
    before = (tmp_path / "dist" / "lib.nupkg").read_bytes()
    world.behave(restless=9)
    run = run_in(world, *world.options)
    assert (run.code, run.error_code, len(world.spent)) == (6, "CERTIFICATE_CHANGED", 2), run.text
    assert (tmp_path / "dist" / "lib.nupkg").read_bytes() == before


def test_a_signature_in_another_publisher_s_name_is_refused(world: RotatingWorld, tmp_path: Path) -> None:
    fill(tmp_path / "dist", images=1, nuget=False)
    (tmp_path / "dist" / "app.msix").unlink()
    world.strangers()
    run = run_in(world, *world.options)
    assert (run.code, run.error_code) == (6, "KEY_MISMATCH"), run.text
    assert "another publisher's" in run.file["error"]["message"]


def test_a_killed_run_s_signatures_are_embedded_with_their_own_certificates(
    world: RotatingWorld, tmp_path: Path, authority: EmbeddedAuthority, authority_root: Path
) -> None:
    """All signatures are there and no timestamp when the run is killed; the next one asks for none."""
    count = fill(tmp_path / "dist", nuget=False)
    trust = ("--trust-root", authority_root)
    with Stamping(authority, latency=600) as hanging:
        line = [sys.executable, "-m", "kspsign", *arguments(world, *world.options, *trust)]
        process = subprocess.Popen(
            [*line, "--timestamp-url", hanging.url],
            env={**os.environ, **world.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kept: set[str] = set()
        deadline = time.monotonic() + 60
        while len(kept) < count:
            assert time.monotonic() < deadline, kept
            time.sleep(0.05)
            journals = (path.read_text("ascii") for path in (tmp_path / "store").rglob("*.journal"))
            kept = {
                line for text in journals for line in text.splitlines() if '"signature"' in line and line.endswith("}")
            }
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    spent = world.spent
    assert len(spent) == count
    chains = {json.loads(line)["digest"]: json.loads(line)["chain"] for line in kept}
    assert {digest: thumbprint_of(bytes.fromhex(chain[0])) for digest, chain in chains.items()} == dict(spent)
    with Stamping(authority) as stamping:
        run = kspsign_process(
            *arguments(world, *world.options, *trust, "--timestamp-url", stamping.url),
            folder=tmp_path,
            environment=world.environment,
        )
    assert run.code == 0, run.text
    assert (run.report["totals"]["signed"], run.report["totals"]["signatures_used"]) == (count, 0)
    assert world.spent == spent
    assert Counter(file["certificate"] for file in run.files.values()) == Counter(leaf for _digest, leaf in spent)
    assert list((tmp_path / "store").rglob("*.journal")) == []
    assert_no_leftovers(tmp_path / "dist")


def test_a_signature_in_the_journal_whose_chain_is_a_stranger_s_is_asked_for_again(
    world: RotatingWorld, tmp_path: Path
) -> None:
    """Whoever can write the journal can't choose who signs."""
    fill(tmp_path / "dist", images=1, nuget=False)
    (tmp_path / "dist" / "app.msix").unlink()
    content = (tmp_path / "dist" / "00.dll").read_bytes()
    assert run_in(world, *world.options).code == 0
    ((digest, _leaf),) = world.spent
    label = world.identity_label
    (tmp_path / "store" / "journal").mkdir(exist_ok=True)
    planted = world.signed_by_a_stranger(bytes.fromhex(digest))
    entry = {"algorithm": "sha256", "digest": digest, "time": int(time.time()), **planted}
    (tmp_path / "store" / "journal" / f"{label}-1.journal").write_text(json.dumps(entry) + "\n", encoding="ascii")
    (tmp_path / "dist" / "00.dll").write_bytes(content)
    run = run_in(world, *world.options)
    assert run.code == 0, run.text
    assert len(world.spent) == 2
    assert run.file["certificate"] == world.spent[1][1]


def sliced(world: RotatingWorld, number: int, *options: object) -> None:
    """A run over slice `number` of 2, in a job's own copy of the files, whose report is kept."""
    fill(world.folder.parent / "dist", images=4, nuget=False)
    (world.folder.parent / "dist" / "app.msix").unlink()  # its manifest names one publisher
    run = run_in(world, *options, "--slice", f"{number}/2")
    assert run.code == 0, run.text
    kept = world.folder.parent / "reports" / f"{number}.json"
    kept.parent.mkdir(exist_ok=True)
    (world.folder.parent / "report.json").rename(kept)


def test_slices_of_one_publisher_make_one_verdict(world: RotatingWorld, tmp_path: Path) -> None:
    for number in (1, 2):
        sliced(world, number, *world.options)
    merged = kspsign_process("merge", "reports/*.json", folder=tmp_path)
    assert merged.code == 0, merged.text
    assert len({file["certificate"] for file in merged.report["files"]}) == 4


def test_slices_of_two_publishers_make_none(
    world: RotatingWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = signing_file(tmp_path / "other", subject="Another publisher")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    sliced(world, 1, *world.options)
    sliced(world, 2, *other.options)
    merged = kspsign_process("merge", "reports/*.json", folder=tmp_path)
    assert (merged.code, merged.report["error"]["code"]) == (3, "SLICES_DIFFER"), merged.text
    assert "different certificates" in merged.text


def test_a_file_of_two_signatures_by_one_certificate(world: RotatingWorld) -> None:
    """A manifest's strong name and publisher's signature: of two certificates they make none, and that is said."""
    published = publish(world.folder.parent / "dist")
    before = published.application.read_bytes()
    run = run_in(world, *world.options)
    errors = {Path(file["path"]).name: file["error"]["code"] for file in run.report["files"] if file["error"]}
    assert errors.get(published.application.name) == "CERTIFICATE_CHANGED", run.text
    assert published.application.read_bytes() == before
    assert_no_leftovers(world.folder.parent)
