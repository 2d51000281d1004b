"""Manifests made to take time: what is read of them grows with their size and no faster."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kspsign.authenticode.clickonce.manifest import read_manifest
from kspsign.authenticode.references import FileReference, SizedDigest, looked_up
from kspsign.model.values import DigestAlgorithm

_BEGIN = (
    b'<v1:assembly xmlns:v1="urn:schemas-microsoft-com:asm.v1" xmlns="urn:schemas-microsoft-com:asm.v2">'
    b"<v1:assemblyIdentity/><entryPoint/>"
)
_SIGNATURE = b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>'
SECONDS = 5
"""A fraction of a second is what they take; what grows with the square of the size takes minutes."""


def test_many_signatures_are_refused_at_once() -> None:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="second Signature"):
        read_manifest(_BEGIN + _SIGNATURE * 20_000 + b"</v1:assembly>")
    assert time.perf_counter() - begun < SECONDS


def test_a_file_that_is_listed_many_times_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(1 << 20))
    stated = SizedDigest(1 << 20, bytes(32))
    begun = time.perf_counter()
    looked = [*looked_up([FileReference("x.bin", path, DigestAlgorithm.SHA256, stated)] * 20_000)]
    assert len({actual for _, actual in looked}) == 1
    assert time.perf_counter() - begun < SECONDS
