"""A run says of a file that can't be signed why, and spends no signature on it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from support.samples import kspsign


def test_signing_and_verifying_say_it(tmp_path: Path) -> None:
    path = tmp_path / "tool.apk"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("META-INF/MANIFEST.MF", "AndroidManifest.xml"):
            archive.writestr(name, "content")
    run = kspsign("verify", path, folder=tmp_path)
    assert run.error_code == "TRUST_E_SUBJECT_FORM_UNKNOWN"
    assert "Android package" in run.file["error"]["message"]
    assert "apksigner" in run.file["error"]["remedy"]
    signing = kspsign("run", path, "--key-store", "embedded", "--store", tmp_path, folder=tmp_path)
    assert (signing.code, signing.report["totals"]["signatures_used"]) == (6, 0)
    assert "Android package" in signing.file["error"]["message"]
