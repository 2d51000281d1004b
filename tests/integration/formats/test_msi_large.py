"""More than two gigabytes are signed and the copy verified without memory for them."""

from __future__ import annotations

from pathlib import Path

from integration.formats.test_pe_large import LIMIT_KIB, SIZE, peak_of
from kspsign.authenticode.compound import CompoundFile
from kspsign.authenticode.io.snapshot import Snapshot
from support.formats.compound_builder import MSI, Folder, Zeros, write_compound
from support.samples import Store


def test_more_than_two_gigabytes_in_150_mb_of_memory(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "setup.msi"
    write_compound(path, Folder({"small": b"small", "cab": Zeros(SIZE)}, MSI), major=4)
    assert peak_of("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder) < LIMIT_KIB
    compound = CompoundFile.open(Snapshot(path))
    assert {stream.name.decode("utf-16-le"): stream.size for stream in compound.root.streams}["cab"] == SIZE
    assert not list(compound.fat.unclaimed())
    assert compound.snapshot.size == compound.header.offset(compound.fat.sectors)
    path.unlink()
