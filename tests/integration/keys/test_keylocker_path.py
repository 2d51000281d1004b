"""The whole path with keys in KeyLocker: front door, real TLS, the peer's verdict, and where the secrets are not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import rsa_key
from support.digicert_one import wire
from support.digicert_one.answers import Response
from support.digicert_one.fixture import Host, running
from support.digicert_one.server import Fault
from support.digicert_one.world import DAY, NOW
from support.formats.peimages import build_pe, digest
from support.pki import signer
from support.samples import Run, assert_found_in_log, kspsign_at, osslsigncode_verify

JOBS = 4


@dataclass(frozen=True)
class Bench:
    """A host, and a folder of files to sign with it."""

    host: Host
    folder: Path
    timestamps: str
    roots: Path

    def files(self, count: int) -> list[Path]:
        """Images that all differ."""
        (self.folder / "dist").mkdir(exist_ok=True)
        paths = [self.folder / "dist" / f"image-{number:03}.dll" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(build_pe(overlay=f"file {number}".encode()))
        return paths

    def run(self, command: str, *options: object, environment: dict[str, str] | None = None) -> Run:
        """kspsign as a step of a job runs it; the credentials are in its environment."""
        return kspsign_at(
            *(command, "dist/**/*.dll", "--timestamp-url", self.timestamps),
            *("--trust-root", self.roots, "--jobs", JOBS, "--store", self.folder / "store", *options),
            folder=self.folder,
            environment=self.host.environment if environment is None else environment,
        )

    def certsync(self, alias: str) -> list[str]:
        """The lines that certsync prints."""
        command = [sys.executable, "-m", "kspsign", "certsync", "--key-store", "keylocker", "--keypair-alias", alias]
        done = subprocess.run(
            [*command, "--store", self.folder / "store"],
            env={**os.environ, **self.host.environment}, cwd=self.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()


@pytest.fixture
def bench(tmp_path: Path, authority: EmbeddedAuthority, timestamp_server: TimestampServer) -> Iterator[Bench]:
    work = tmp_path / "work"
    files = tmp_path / "host"
    work.mkdir()
    files.mkdir()
    with running(files) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        roots = files / "roots.pem"
        roots.write_bytes(host.world.root.pem + authority.root.certificate.public_bytes(Encoding.PEM))
        yield Bench(host, work, timestamp_server.url, roots)


@pytest.fixture(params=["RSA-3072", "P-384"])
def key(request: pytest.FixtureRequest) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if request.param == "P-384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa_key(3072)


def test_the_peer_accepts_what_the_service_signed(
    bench: Bench, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    world, record = bench.host.world, bench.host.service.record
    world.add_certificate(world.add_keypair("prod", key), "prod code", chain=(world.root, world.intermediate))
    paths = bench.files(6)
    run = bench.run("run", "--key-store", "keylocker", "--keypair-alias", "prod", "--digest", "sha384", "--verbose")
    assert run.code == 0, run.text
    assert (run.report["key_store"], run.report["engine"], run.report["test_signing"]) == ("keylocker", "native", False)
    assert run.report["certificate"]["alias"] == "prod"
    assert (run.report["totals"]["signatures_used"], world.spent) == (6, 6)
    assert_found_in_log(run, list(world.signatures))
    for path in paths:
        peer = osslsigncode_verify(path, bench.roots)
        assert peer.accepted, peer.text
        assert peer.calculated_digests == [digest(path.read_bytes(), "sha384")]
    posts = record.of("POST")
    assert len({request.body for request in posts}) == 6
    for post in posts:
        body = json.loads(post.body)
        assert set(body) == {"account", "sig_alg", "hash"}
        assert len(base64.b64decode(body["hash"])) == 48
    assert all(request.body == b"" for request in record.of("GET"))
    # One for certsync, then at most one for each worker.
    assert record.connections <= 1 + JOBS


def test_certsync_once_then_by_thumbprint_alone(bench: Bench) -> None:
    bench.files(2)
    thumbprint = bench.certsync("code")[-1]
    assert bench.host.service.record.of("POST") == []
    run = bench.run("sign", "--thumbprint", thumbprint)
    assert run.code == 0, run.text
    assert {file["signatures"][0]["thumbprint"] for file in run.report["files"]} == {thumbprint}
    entry = json.loads((bench.folder / "store" / "certificates" / thumbprint / "entry.json").read_bytes())
    assert entry["key_reference"]["host"] == bench.host.service.url
    without = bench.run("sign", "--thumbprint", thumbprint, "--replace", environment={})
    assert (without.code, without.report["error"]["code"]) == (5, "KEYLOCKER_CREDENTIALS")


def test_what_goes_wrong_is_the_file_s_outcome_and_stops_no_other(bench: Bench) -> None:
    bench.files(5)
    bench.host.service.faults += [
        Fault("POST", "/sign", after=True),
        Fault("POST", "/sign", Response(403, wire.error("access_denied", "User is not the signer"))),
        Fault("POST", "/sign", Response(429, b"", {"Retry-After": "0"})),
    ]
    run = bench.run("run", "--key-store", "keylocker", "--keypair-alias", "release")
    assert run.code == 1, run.text
    codes = sorted(file["error"]["code"] for file in run.report["files"] if file["error"])
    assert codes == ["NOT_THE_SIGNER", "SIGNATURE_MAY_BE_SPENT"]
    assert run.report["totals"]["signed"] == 3
    assert (bench.host.world.spent, run.report["totals"]["signatures_used"]) == (4, 4)
    again = bench.run("run", "--key-store", "keylocker", "--keypair-alias", "release")
    assert (again.code, bench.host.world.spent) == (0, 6)


def test_the_quota_s_end_is_said_file_by_file(bench: Bench) -> None:
    bench.files(4)
    bench.host.world.keypairs[0].quota = 3
    run = bench.run("run", "--key-store", "keylocker", "--keypair-alias", "release")
    assert run.code == 1
    (failed,) = [file["error"] for file in run.report["files"] if file["error"]]
    assert failed["code"] == "QUOTA_USED_UP"
    assert "QUOTA_USED_UP" in run.text or failed["remedy"] in run.text


def test_the_choice_and_near_ends_are_said(bench: Bench) -> None:
    world = bench.host.world
    pair = world.keypairs[0]
    leaf = signer("Example Ltd", world.intermediate, key=pair.key, begin=NOW - 2 * DAY, end=NOW + 29 * DAY)
    world.add_certificate(pair, "renewed", leaf=leaf)
    said = " ".join(bench.certsync("release"))
    assert "key pair release has 2 certificates: renewed (" in said
    assert "in 28 days" in said
    assert "Renew it in time" in said
