"""The portable thumbprint store when two jobs write to it at once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from kspsign.certsync import read_entry, write_entry
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.values import SyncedCertificate

WRITER = """
import sys, pathlib
from kspsign.certsync import read_entry, write_entry
store, thumbprint, mark = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
certificate = read_entry(store, thumbprint)
sys.stdin.readline()
for number in range(60):
    chain = certificate.chain if number % 2 else certificate.chain[:1]
    write_entry(store, certificate._replace(chain=chain, alias=mark * 2000, key_reference={"by": mark}))
    seen = read_entry(store, thumbprint)
    assert seen.alias[0] * 2000 == seen.alias and seen.key_reference == {"by": seen.alias[0]}, seen
    assert seen.chain[0] == certificate.chain[0]
"""


def test_two_jobs_that_write_at_once_never_leave_or_see_a_half(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    certificate = SyncedCertificate(
        thumbprint=hashlib.sha1(authority.signing_chain[0], usedforsecurity=False).hexdigest().upper(),
        chain=authority.signing_chain,
        alias="Schlüssel 1",
        key_store="embedded",
        key_reference={"folder": "/somewhere/else"},
        test_signing=True,
    )
    write_entry(tmp_path, certificate)
    folder = tmp_path / "certificates" / certificate.thumbprint
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), certificate.thumbprint, mark],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mark in ("a", "b")
    ]
    write_entry(tmp_path, certificate._replace(alias="a" * 2000, key_reference={"by": "a"}))
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    results = [(writer.communicate(timeout=120)[1], writer.returncode) for writer in writers]
    assert results == [("", 0)] * 2
    assert read_entry(tmp_path, certificate.thumbprint).alias in {"a" * 2000, "b" * 2000}
    assert sorted(path.name for path in folder.iterdir()) == ["chain.pem", "entry.json"]
