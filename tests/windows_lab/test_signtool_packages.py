"""Business Central packages on a Windows without NavSip.dll: told before SignTool says something vaguer."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from windows_lab.machine import Windows
from windows_lab.test_signtool_road import paid, report, sign


def package(windows: Windows) -> Path:
    """An unsigned .app package below in/."""
    file = windows.folder / "in" / "some.app"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(struct.pack("<4sII16sq4s", b"NAVX", 40, 2, bytes(16), 200, b"NAVX") + bytes(200))
    return file


def test_a_package_without_navsip_stops_no_other_file(windows: Windows, timestamp_url: str) -> None:
    windows.program("in/good.exe")
    before = package(windows).read_bytes()
    ended = sign(windows, timestamp_url)
    assert ended.exit_code == 1, ended.output
    result = {file["path"]: file for file in report(windows)["files"]}
    assert result["in/good.exe"]["outcome"] == "signed"
    assert result["in/some.app"]["error"]["code"] == "NAVSIP_MISSING"
    assert "--navsip" in result["in/some.app"]["error"]["remedy"]
    assert package(windows).read_bytes() == before
    assert paid(windows) == 1


def test_a_dll_that_is_no_sip_is_refused_by_regsvr32(windows: Windows, timestamp_url: str) -> None:
    package(windows)
    shutil.copyfile(windows.lab / "win" / "python311" / "DLLs" / "libffi-8.dll", windows.folder / "NavSip.dll")
    assert sign(windows, timestamp_url, "--navsip", "NavSip.dll").exit_code == 6
    error = report(windows)["files"][0]["error"]
    assert error["code"] == "NAVSIP_UNUSABLE"
    assert "it has no DllRegisterServer" in error["message"]


def test_a_registered_sip_that_does_not_recognise_it_is_explained(windows: Windows, timestamp_url: str) -> None:
    package(windows)
    oid = r"HKLM\SOFTWARE\Microsoft\Cryptography\OID\EncodingType 0\CryptSIPDllPutSignedDataMsg"
    sip = rf"{oid}\{{12341234-F804-0000-781D-123412341234}}"
    added = windows.run("wine", "reg", "add", sip, "/v", "Dll", "/d", "NavSip.dll", "/f")
    assert added.exit_code == 0, added.output
    assert sign(windows, timestamp_url).exit_code == 6
    error = report(windows)["files"][0]["error"]
    assert (error["code"], error["hresult"]) == ("TRUST_E_SUBJECT_FORM_UNKNOWN", "0x800B0003")
    assert "NavSip.dll" in error["remedy"]
