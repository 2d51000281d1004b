"""Makes a small MSI, run by Windows Python: msi.py CABINET SIZE TARGET.

The cabinet holds smctl.exe of SIZE bytes; the MSI puts it below Program Files, into DigiCert\\Lab Tools.
"""

from __future__ import annotations

import ctypes
import sys

CREATE = 3  # MSIDBOPEN_CREATE
TEXT, NUMBER = 30, 3  # VT_LPSTR, VT_I4
PRODUCT = "{7F3A1C52-5D0B-4A5E-9A3B-0C6A1D5E2B11}"
PACKAGE = "{1D8E3B60-42A7-4C6B-8F0E-9B7C5A3D1E22}"
COMPONENT = "{C3B5D7F9-1A2B-4C3D-8E4F-5A6B7C8D9E33}"
TABLES = {
    "Property": ("Property CHAR(72) NOT NULL, Value LONGCHAR NOT NULL", "Property"),
    "Directory": ("Directory CHAR(72) NOT NULL, Directory_Parent CHAR(72), DefaultDir CHAR(255) NOT NULL", "Directory"),
    "Component": (
        (
            "Component CHAR(72) NOT NULL, ComponentId CHAR(38), Directory_ CHAR(72) NOT NULL, "
            "Attributes SHORT NOT NULL, Condition CHAR(255), KeyPath CHAR(72)"
        ),
        "Component",
    ),
    "Feature": (
        (
            "Feature CHAR(38) NOT NULL, Feature_Parent CHAR(38), Title CHAR(64), Description CHAR(255), "
            "Display SHORT, Level SHORT NOT NULL, Directory_ CHAR(72), Attributes SHORT NOT NULL"
        ),
        "Feature",
    ),
    "FeatureComponents": ("Feature_ CHAR(38) NOT NULL, Component_ CHAR(72) NOT NULL", "Feature_, Component_"),
    "File": (
        (
            "File CHAR(72) NOT NULL, Component_ CHAR(72) NOT NULL, FileName CHAR(255) NOT NULL, "
            "FileSize LONG NOT NULL, Version CHAR(72), Language CHAR(20), Attributes SHORT, Sequence SHORT NOT NULL"
        ),
        "File",
    ),
    "Media": (
        (
            "DiskId SHORT NOT NULL, LastSequence SHORT NOT NULL, DiskPrompt CHAR(64), Cabinet CHAR(255), "
            "VolumeLabel CHAR(32), Source CHAR(72)"
        ),
        "DiskId",
    ),
    "InstallExecuteSequence": ("Action CHAR(72) NOT NULL, Condition CHAR(255), Sequence SHORT", "Action"),
}
ACTIONS = {
    "CostInitialize": 800,
    "FileCost": 900,
    "CostFinalize": 1000,
    "InstallValidate": 1400,
    "InstallInitialize": 1500,
    "ProcessComponents": 1600,
    "InstallFiles": 4000,
    "RegisterProduct": 6100,
    "PublishFeatures": 6300,
    "PublishProduct": 6400,
    "InstallFinalize": 6600,
}


def main(cabinet: str, size: str, target: str) -> None:
    """Write the MSI."""
    msi = ctypes.WinDLL("msi")  # type: ignore[attr-defined]  # this runs on Windows only
    database = ctypes.c_uint()
    _check(msi.MsiOpenDatabaseW(target, ctypes.c_void_p(CREATE), ctypes.byref(database)))

    def execute(sql: str, record: int = 0) -> None:
        view = ctypes.c_uint()
        _check(msi.MsiDatabaseOpenViewW(database, sql, ctypes.byref(view)))
        _check(msi.MsiViewExecute(view, record))
        msi.MsiCloseHandle(view)

    for table, (columns, key) in TABLES.items():
        quoted = ", ".join("`{}` {}".format(*column.split(" ", 1)) for column in columns.split(", "))
        keys = ", ".join(f"`{name}`" for name in key.split(", "))
        execute(f"CREATE TABLE `{table}` ({quoted} PRIMARY KEY {keys})")
    for table, values in _rows(size):
        names = [column.split(" ", 1)[0] for column in TABLES[table][0].split(", ")][: len(values)]
        listed = ", ".join(f"`{name}`" for name in names)
        written = ", ".join(str(value) if isinstance(value, int) else f"'{value}'" for value in values)
        execute(f"INSERT INTO `{table}` ({listed}) VALUES ({written})")  # noqa: S608 -- no value from outside
    record = msi.MsiCreateRecord(1)
    _check(msi.MsiRecordSetStreamW(record, 1, cabinet))
    execute("INSERT INTO `_Streams` (`Name`, `Data`) VALUES ('content', ?)", record)
    summary = ctypes.c_uint()
    _check(msi.MsiGetSummaryInformationW(database, None, 6, ctypes.byref(summary)))
    for number, text in ((2, "Lab Tools"), (7, "x64;1033"), (9, PACKAGE)):
        _check(msi.MsiSummaryInfoSetPropertyW(summary, number, TEXT, 0, None, text))
    for number, value in ((14, 200), (15, 2)):  # Windows Installer 2.0; compressed, long names
        _check(msi.MsiSummaryInfoSetPropertyW(summary, number, NUMBER, value, None, None))
    _check(msi.MsiSummaryInfoPersist(summary))
    _check(msi.MsiDatabaseCommit(database))


def _rows(size: str) -> list[tuple[str, tuple[str | int, ...]]]:
    properties = {"ProductCode": PRODUCT, "ProductName": "Lab Tools", "ProductVersion": "1.0.0"}
    properties |= {"Manufacturer": "Lab", "ProductLanguage": "1033", "ALLUSERS": "1"}
    directories = (
        *(("TARGETDIR", "", "SourceDir"), ("ProgramFiles64Folder", "TARGETDIR", ".")),
        *(("DigiCert", "ProgramFiles64Folder", "DigiCert"), ("LabTools", "DigiCert", "LabTools|Lab Tools")),
    )
    return [
        *(("Property", row) for row in properties.items()),
        *(("Directory", row) for row in directories),
        ("Component", ("Tools", COMPONENT, "LabTools", 256, "", "smctl.exe")),
        ("Feature", ("All", "", "All", "All", 1, 1, "LabTools", 0)),
        ("FeatureComponents", ("All", "Tools")),
        ("File", ("smctl.exe", "Tools", "smctl.exe", int(size), "", "", 512, 1)),
        ("Media", (1, 1, "", "#content")),
        *(("InstallExecuteSequence", (action, "", number)) for action, number in ACTIONS.items()),
    ]


def _check(result: int) -> None:
    if result:
        raise SystemExit(f"the Windows Installer's database functions answer {result}")


if __name__ == "__main__":
    main(*sys.argv[1:])
