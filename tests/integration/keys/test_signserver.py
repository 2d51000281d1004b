"""Key store signserver against a loopback server: how it authenticates, which certificate signs, and what fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.formats.peimages import build_pe
from support.samples import Run, kspsign, osslsigncode_verify
from support.signserver.server import SignServer
from support.signserver.world import SignServerWorld

VARIABLES = (
    *("SIGNSERVER_USERNAME", "SIGNSERVER_PASSWORD", "SIGNSERVER_TOKEN", "SIGNSERVER_CLIENT_CERT_FILE"),
    *("SIGNSERVER_CLIENT_CERT_FILE_B64", "SIGNSERVER_CLIENT_CERT_PASSWORD"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SignServer]:
    (tmp_path / "signserver").mkdir()
    with SignServer(SignServerWorld(), tmp_path / "signserver") as running:
        yield running


def run_in(server: SignServer, folder: Path, *more: object, auth: str = "none") -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**dict.fromkeys(VARIABLES, ""), **server.environment(auth)}.items():
            patch.setenv(name, value)
        return kspsign(
            *("run", "*.dll", "--folder", folder, *server.options, *server.trust, "--no-timestamp"),
            *("--store", folder / "store", "--jobs", "1", *more),
            folder=folder,
        )


@pytest.mark.parametrize("auth", ["none", "basic", "token", "certificate"])
def test_files_are_signed_and_accepted_by_a_peer(auth: str, server: SignServer, tmp_path: Path) -> None:
    server.world.auth = auth
    for number in range(2):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    run = run_in(server, tmp_path, auth=auth)
    assert run.code == 0, run.text
    assert len(server.world.signed) == run.report["totals"]["signatures_used"] == 2
    peer = osslsigncode_verify(tmp_path / "0.dll", server.folder / "root.pem")
    assert peer.accepted, peer.text
