"""WiX bundles (Burn): the engine is signed, the containers attached again and the bundle signed in one step; Burn finds
them by its own rule. A bundle that was signed the wrong way is refused, signing and verifying."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from kspsign.authenticode.formats import detect_format
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.signable import Glimpse
from kspsign.model.values import Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.formats.burn_samples import (
    BUNDLE,
    MORE,
    PAYLOAD,
    UX,
    cached_engine,
    containers,
    engine,
    reattached,
    section_of,
)
from support.formats.peimages import digest, flipped, parts, patched, with_checksum, with_table
from support.samples import Run, assert_no_leftovers, kspsign
from support.signing import Publisher, signed_by_peer

ATTACHED = [UX, PAYLOAD, MORE]


@pytest.fixture(scope="module")
def signed(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle signed in one step."""
    path = tmp_path_factory.mktemp("signed") / "setup.exe"
    path.write_bytes(BUNDLE)
    assert publisher.sign(path).code == 0
    return path.read_bytes()


@pytest.fixture(scope="module")
def signed_engine(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A detached engine, signed alone."""
    path = tmp_path_factory.mktemp("engine") / "engine.exe"
    path.write_bytes(engine())
    assert publisher.sign(path).code == 0
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "setup.exe"


def checks(run: Run) -> dict[str, str]:
    """The checks that failed, with what was seen."""
    return {check["name"]: check["detail"] for check in run.file["verdict"]["checks"] if not check["ok"]}


@pytest.mark.parametrize("options", [(), ("--page-hashes", "--digest", "sha384")], ids=["plain", "paged"])
def test_one_step_signs_engine_and_bundle(publisher: Publisher, path: Path, options: tuple[str, ...]) -> None:
    path.write_bytes(BUNDLE)
    assert len(UX) % 8, "the engine's signature needs padding before it"
    plan = publisher.sign(path, "--dry-run", *options)
    assert (plan.report["totals"]["signatures_needed"], path.read_bytes()) == (2, BUNDLE)
    run = publisher.sign(path, *options)
    assert (run.code, run.report["totals"]["signatures_used"]) == (0, 2), run.text
    data = path.read_bytes()
    assert containers(data) == ATTACHED
    cached = path.with_name("cached.exe")
    cached.write_bytes(cached_engine(data))
    for judged in (path, cached):
        peer = publisher.peer(judged)
        assert peer.accepted, peer.text
        assert publisher.verify(judged).code == 0
    if not options:
        assert digest(cached.read_bytes()) == digest(engine())
    assert [signature["inside"] for signature in run.file["signatures"]] == ["engine", None]
    assert all(signature["timestamp"] for signature in run.file["signatures"])
    details = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert details["attached-containers"].startswith("2 from ")
    assert details["inner-signatures"] == "1, each judged as the file's own"
    shown = kspsign("inspect", path, "--trust-root", publisher.roots, folder=path.parent, reported=False)
    assert shown.code == 0
    assert "signature of engine, inside" in shown.text
    assert "signature 1 of 1" in shown.text
    assert publisher.sign(path).file["outcome"] == "skipped"
    cached.unlink()
    assert_no_leftovers(path.parent)


def test_a_bundle_signed_without_its_engine(publisher: Publisher, path: Path) -> None:
    """The peer knows nothing of bundles: Burn would not find the payload, and neither signing nor verifying accepts
    it. --replace makes it right."""
    path.write_bytes(BUNDLE)
    wrong = signed_by_peer(publisher, path).read_bytes()
    assert containers(wrong) != ATTACHED
    path.write_bytes(wrong)
    assert publisher.peer(path).accepted
    run = publisher.verify(path)
    assert run.code == 2
    said = checks(run)["attached-containers"]
    assert "signed without its engine" in said
    assert f"at {len(wrong)}, and they are at {len(engine())}" in said
    for options in ((), ("--append",), ("--skip-signed",)):
        refused = publisher.sign(path, *options)
        assert (refused.code, refused.report["totals"]["signatures_used"]) == (6, 0), refused.text
        assert path.read_bytes() == wrong
    repaired = publisher.sign(path, "--replace")
    assert (repaired.code, repaired.report["totals"]["signatures_used"]) == (0, 2), repaired.text
    assert containers(path.read_bytes()) == ATTACHED


def test_the_remedy_is_to_replace(publisher: Publisher, path: Path) -> None:
    """Where nothing else is wrong, cause and remedy are those of the bundle."""
    path.write_bytes(BUNDLE)
    path.write_bytes(signed_by_peer(publisher, path).read_bytes())
    stamped = publisher.stamp(path)
    assert stamped.error_code == "ERROR_BAD_FORMAT", stamped.text
    assert "signed without its engine" in stamped.file["error"]["message"]
    assert "--replace" in stamped.file["error"]["remedy"]


def test_the_steps_of_wix_take_one_signature_each(publisher: Publisher, path: Path, signed_engine: bytes) -> None:
    """Detached, signed, attached again and signed: the engine's signature stays what it is."""
    bundle = reattached(signed_engine, PAYLOAD, MORE)
    for options, used in (((), 1), (("--replace",), 1), (("--append",), 1)):
        path.write_bytes(bundle)
        run = publisher.sign(path, *options)
        assert (run.code, run.report["totals"]["signatures_used"]) == (0, used), run.text
        data = path.read_bytes()
        assert containers(data) == ATTACHED
        assert cached_engine(data) == signed_engine
        assert publisher.peer(path).accepted
    again = publisher.sign(path, "--append")
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 1), again.text
    assert cached_engine(path.read_bytes()) == signed_engine
    both = publisher.sign(path, "--replace")
    assert (both.code, both.report["totals"]["signatures_used"]) == (0, 2), both.text
    assert cached_engine(path.read_bytes()) != signed_engine
    assert containers(path.read_bytes()) == ATTACHED


def test_zeros_after_the_containers_are_alignment_once_it_is_signed(
    publisher: Publisher, path: Path, signed_engine: bytes
) -> None:
    """Signing adds more of them: too many are known before a signature is spent."""
    bundle = reattached(signed_engine, PAYLOAD, MORE)
    aligned = -len(bundle) % 8
    for zeros, used in ((aligned, 1), (aligned + 1, 0)):
        path.write_bytes(bundle + bytes(zeros))
        run = publisher.sign(path)
        assert run.report["totals"]["signatures_used"] == used, run.text
        assert run.code == (0 if used else 6)


def test_an_engine_whose_signature_does_not_hold(publisher: Publisher, path: Path, signed_engine: bytes) -> None:
    """No signature is spent on the bundle around it, and one that another tool made is refused."""
    bad = flipped(signed_engine, parts(signed_engine).sections[0][0] + 9)
    bundle = reattached(with_checksum(bad), PAYLOAD, MORE)
    path.write_bytes(bundle)
    run = publisher.sign(path)
    assert (run.code, run.report["totals"]["signatures_used"]) == (6, 0), run.text
    assert run.error_code == "TRUST_E_BAD_DIGEST"
    assert "engine inside: digest" in run.text
    path.write_bytes(signed_by_peer(publisher, path).read_bytes())
    assert publisher.peer(path).accepted
    judged = publisher.verify(path)
    assert judged.code == 2
    assert "inner-signatures" in checks(judged)
    assert containers(path.read_bytes()) == ATTACHED


def _resigned(publisher: Publisher, path: Path, bundle: bytes) -> bytes:
    """The bundle as a tool signs it that knows nothing of bundles."""
    path.write_bytes(bundle)
    return signed_by_peer(publisher, path).read_bytes()


TWINS: dict[str, Callable[[bytes], bytes]] = {
    "a container changed": lambda data: data.replace(b"0-payload.txt", b"0-payloax.txt"),
    "containers exchanged": lambda data: data.replace(PAYLOAD + MORE, MORE + PAYLOAD),
    "the user interface changed": lambda data: data.replace(b"0-ux.txt", b"0-uy.txt"),
    "the engine's code changed": lambda data: flipped(data, parts(data).sections[0][0] + 9),
    "another checksum of the engine": lambda data: flipped(data, section_of(data) + 28),
    "another place of its signature": lambda data: flipped(data, section_of(data) + 32, 8),
    "another size of its signature": lambda data: flipped(data, section_of(data) + 36, 8),
    "no engine's signature": lambda data: patched(data, section_of(data) + 28, bytes(12)),
    "one container fewer": lambda data: patched(data, section_of(data) + 44, struct.pack("<I", 2)),
    "bytes between": lambda data: data.replace(PAYLOAD + MORE, PAYLOAD + bytes(8) + MORE),
    "bytes after": lambda data: data.replace(PAYLOAD + MORE, PAYLOAD + MORE + bytes(8)),
    "the engine's signature gone": lambda data: patched(data, len(engine()) + 8, bytes(400)),
}
OUTSIDE_THE_ENGINE = {"a container changed", "containers exchanged"}
"""What only the bundle's own signature covers."""


def test_twins_are_refused(publisher: Publisher, path: Path, signed: bytes) -> None:
    assert publisher.refusal(path, signed) is None
    for change in TWINS.values():
        assert publisher.refusal(path, with_checksum(change(signed))) is not None


@pytest.mark.parametrize("name", [name for name in TWINS if name not in OUTSIDE_THE_ENGINE])
def test_twins_that_were_signed_again_are_refused(publisher: Publisher, path: Path, signed: bytes, name: str) -> None:
    """The tool that signed the bundle around the change judges no engine."""
    found = parts(signed)
    unsigned = patched(signed[: found.table], found.directory, bytes(8))
    path.write_bytes(_resigned(publisher, path, TWINS[name](unsigned)))
    run = publisher.verify(path)
    assert run.code == 2, run.text
    assert checks(run).keys() & {"attached-containers", "inner-signatures"}, checks(run)


def test_no_changed_byte_survives(publisher: Publisher, path: Path, signed: bytes) -> None:
    """200 of them anywhere in the file."""
    anchors = TrustAnchors.from_pem_files([publisher.roots])
    verifier = Verifier(Trust(anchors, anchors, timestamp_required=True))
    path.write_bytes(signed)
    assert verifier.verify(path, Format.PE).error is None
    for offset in random.Random(20).sample(range(len(signed)), 200):  # noqa: S311 - places, no secrets
        path.write_bytes(flipped(signed, offset))
        glimpse = Glimpse.of(Snapshot(path))
        assert verifier.verify(path, detect_format(glimpse)).error is not None, offset


def test_a_signature_of_another_bundle(publisher: Publisher, path: Path, signed: bytes) -> None:
    other = engine(ux=UX.replace(b"ux", b"vx")) + PAYLOAD + MORE
    path.write_bytes(other)
    assert publisher.sign(path).code == 0
    theirs = path.read_bytes()
    found = parts(theirs)
    mine = with_table(signed[: parts(signed).table] + theirs[found.table :], theirs[found.table :])
    assert publisher.refusal(path, mine) == "TRUST_E_BAD_DIGEST"


def _over_its_section() -> bytes:
    """An engine whose user interface's container begins in its code and ends with its section."""
    data = engine(containers=(1536, len(PAYLOAD)), ux=b"")
    data = patched(data, parts(data).sections[0][0], struct.pack("<4s4xI", b"MSCF", 1536))
    return patched(data, section_of(data) + 24, struct.pack("<I", parts(data).sections[0][0]))


CONTRADICTIONS = {
    "an unknown version": (engine(version=3) + PAYLOAD + MORE, "version 3"),
    "an unknown format": (engine(form=2) + PAYLOAD + MORE, "format 2"),
    "more containers than room": (engine(count=0xFFFFFFFF) + PAYLOAD, "has room for"),
    "half a signature": (engine(signature=(4096, 0)) + PAYLOAD + MORE, "contradicts itself"),
    "a signature elsewhere": (engine(signature=(4096, 8)) + PAYLOAD + MORE, "should follow at"),
    "a container cut off": (BUNDLE[:-40], "truncated"),
    "bytes at the end": (BUNDLE + b"\1", "neither a container nor zeros"),
    "more than alignment": (BUNDLE + bytes(9), "its end should follow"),
    "no cabinet": (engine() + MORE + PAYLOAD, "no cabinet of"),
    "no user interface": (engine(ux=bytes(len(UX))) + PAYLOAD + MORE, "its user interface's container"),
    "an empty user interface": (engine(containers=(0, len(PAYLOAD)), ux=b"") + PAYLOAD, "no user interface's"),
    "no container at all": (engine(containers=()), "no user interface's"),
    "a user interface over the section": (_over_its_section() + PAYLOAD, "inside the image, which ends at 2048"),
    "an engine cut off": (engine()[:-20], "truncated"),
    "an engine without user interface": (engine(ux=bytes(len(UX))), "no cabinet of"),
    "zeros that signing adds more to": (engine() + bytes(-len(engine()) % 8 + 1), "truncated"),
    "an engine with bytes at the end": (engine() + b"\1", "neither a container nor zeros"),
    "a user interface beyond the file": (patched(BUNDLE, section_of(BUNDLE) + 24, b"\0\xff\xff\xff"), "truncated"),
}


@pytest.mark.parametrize(("bundle", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_its_section_is_not_signed(
    publisher: Publisher, path: Path, bundle: bytes, words: str
) -> None:
    path.write_bytes(bundle)
    for options in ((), ("--replace", "--dry-run")):
        run = publisher.sign(path, *options)
        assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_NOT_SUPPORTED", 0), run.text
        assert words in run.file["error"]["message"]
        assert path.read_bytes() == bundle
    path.write_bytes(signed_by_peer(publisher, path).read_bytes())
    assert words in checks(publisher.verify(path))["attached-containers"]


def _renamed(section: int, name: bytes) -> bytes:
    return patched(BUNDLE, parts(BUNDLE).section_table + 40 * section, name)


def _placed(size: int, offset: int) -> bytes:
    """The bundle with its section of that size at that offset."""
    return patched(BUNDLE, parts(BUNDLE).section_table + 56, struct.pack("<II", size, offset))


UNREADABLE = {
    "two of that name": (_renamed(0, b".wixburn"), "several sections .wixburn"),
    "an empty one": (_placed(0, 0), "is empty"),
    "a short one": (_placed(48, section_of(BUNDLE)), "has 48 bytes"),
    "another magic": (engine(magic=0x12345678) + PAYLOAD + MORE, "begins with 0x12345678"),
    "over the headers": (_placed(512, parts(BUNDLE).section_table), "overlaps"),
    "over another section": (_placed(512, section_of(BUNDLE) - 8), "overlaps"),
}
"""Burn takes the first section of that name, whatever its magic is."""


@pytest.mark.parametrize(("bundle", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_section_that_burn_reads_otherwise_is_refused(
    publisher: Publisher, path: Path, bundle: bytes, words: str
) -> None:
    path.write_bytes(bundle)
    run = publisher.sign(path)
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_BAD_FORMAT", 0), run.text
    assert words in run.file["error"]["message"]
    assert path.read_bytes() == bundle
    path.write_bytes(signed_by_peer(publisher, path).read_bytes())
    assert words in checks(publisher.verify(path))["structure"]


@pytest.mark.parametrize("junk", [struct.pack("<IHH", 16, 0x0200, 0x0001) + b"payload!", bytes(8)])
def test_data_in_the_engine_s_table_is_not_lost(
    publisher: Publisher, path: Path, signed_engine: bytes, junk: bytes
) -> None:
    """What nobody knows after the engine's signature is refused when signing, and not taken out with the signature."""
    found = parts(signed_engine)
    engine_with_more = with_table(signed_engine, signed_engine[found.table :] + junk)
    bundle = reattached(engine_with_more, PAYLOAD, MORE)
    path.write_bytes(bundle)
    run = publisher.sign(path)
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("TRUST_E_MALFORMED_SIGNATURE", 0), run.text
    removed = kspsign("remove", path, folder=path.parent)
    assert removed.error_code == "TRUST_E_MALFORMED_SIGNATURE", removed.text
    assert path.read_bytes() == bundle


WHOLE = {
    "a detached engine": engine(),
    "no attached container": engine(containers=(len(UX),)),
    "an empty attached container": engine(containers=(len(UX), 0)) + b"overlay",
    "a stub that no bundle was made of": patched(engine(containers=(), ux=b""), section_of(BUNDLE) + 24, bytes(4)),
    "an engine with zeros that align": engine() + bytes(-len(engine()) % 8),
    "a section of another name": engine(name=b".wixburx") + PAYLOAD,
}


@pytest.mark.parametrize("image", WHOLE.values(), ids=WHOLE)
def test_where_nothing_is_attached_one_signature_does(publisher: Publisher, path: Path, image: bytes) -> None:
    path.write_bytes(image)
    run = publisher.sign(path)
    assert (run.code, run.report["totals"]["signatures_used"]) == (0, 1), run.text
    assert publisher.peer(path).accepted


def test_taken_out_again_it_is_what_wix_built(publisher: Publisher, path: Path, signed: bytes) -> None:
    """Both signatures are gone, and signing again signs the same digest of the engine."""
    path.write_bytes(signed)
    removed = kspsign("remove", path, folder=path.parent)
    assert (removed.code, path.read_bytes()) == (0, BUNDLE), removed.text
    assert publisher.sign(path).code == 0
    assert digest(cached_engine(path.read_bytes())) == digest(cached_engine(signed)) == digest(engine())
    half = patched(signed[: parts(signed).table], parts(signed).directory, bytes(8))
    for other in (_resigned(publisher, path, BUNDLE), half):
        path.write_bytes(other)
        assert kspsign("remove", path, folder=path.parent).code == 0
        assert path.read_bytes() == BUNDLE
    assert kspsign("remove", path, folder=path.parent).error_code == "TRUST_E_NOSIGNATURE"


def test_the_first_signature_is_not_lost(publisher: Publisher, path: Path) -> None:
    """The limit ends a run between the two; what was obtained is used by the next."""
    path.write_bytes(BUNDLE)
    run = publisher.sign(path, "--max-signatures", "1")
    assert (run.error_code, path.read_bytes()) == ("BUDGET_SPENT", BUNDLE)
    assert_no_leftovers(path.parent)


def test_over_an_air_gap_one_step_at_a_time(path: Path, signed_engine: bytes) -> None:
    """A digest document holds one digest of a file: the engine is signed first."""
    path.write_bytes(BUNDLE)
    document = path.with_name("digests.json")
    taken = kspsign("digest", path, "--output", document, "--folder", path.parent, folder=path.parent)
    assert (taken.code, taken.error_code) == (6, "ERROR_NOT_SUPPORTED"), taken.text
    assert "wix burn reattach" in taken.file["error"]["remedy"]
    assert not document.exists()
    signature = path.with_name("setup.exe.p7s")
    signature.write_bytes(b"\x30\x00")
    refused = kspsign("attach", path, "--signature", signature, folder=path.parent)
    assert (refused.error_code, path.read_bytes()) == ("ERROR_NOT_SUPPORTED", BUNDLE), refused.text
    path.write_bytes(reattached(signed_engine, PAYLOAD, MORE))
    taken = kspsign("digest", path, "--output", document, "--folder", path.parent, folder=path.parent)
    assert (taken.code, taken.file["outcome"]) == (0, "prepared"), taken.text
