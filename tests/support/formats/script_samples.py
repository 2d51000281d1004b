"""Scripts of every kind, unsigned, with characters beyond ASCII."""

from __future__ import annotations

TEXTS = {
    "ps1": 'Write-Output "Größe \N{GRINNING FACE}"\r\nExit 0\r\n',
    "psm1": "function Get-Größe { 1 }\r\n",
    "psd1": "@{ ModuleVersion = '1.0' }\r\n# Größe\r\n",
    "mof": "// Größe\r\nclass Some_Thing { [Key] string Name; };\r\n",
    "ps1xml": "<Configuration>\r\n<!-- Größe -->\r\n</Configuration>\r\n",
    "psc1": '<PSConsoleFile ConsoleSchemaVersion="1.0" />\r\n<!-- Größe -->\r\n',
    "cdxml": "<PowerShellMetadata />\r\n<!-- Größe -->\r\n",
    "vbs": 'MsgBox "Größe"\r\n',
    "js": 'WScript.Echo("Größe \N{GRINNING FACE}");\r\n',
    "wsf": '<job>\r\n<script language="JScript">WScript.Echo("Größe");</script>\r\n</job>\r\n<!-- end -->\r\n',
}
POWERSHELL = ("ps1", "psm1", "psd1", "mof", "ps1xml", "psc1", "cdxml")
SCRIPT_HOST = ("vbs", "js", "wsf")


def script(extension: str, encoding: str = "utf-8-sig") -> bytes:
    """An unsigned script; "ascii" has nothing beyond ASCII, "utf-16-le" and "utf-16-be" have a byte order mark."""
    text = TEXTS[extension]
    if encoding == "ascii":
        return text.encode("ascii", "ignore")
    return ("\ufeff" + text).encode(encoding) if encoding.startswith("utf-16") else text.encode(encoding)
