"""Signed scripts: PowerShell's SIP (ps1 psd1 psm1 mof, ps1xml psc1 cdxml) and Windows Script Host's (vbs js wsf)."""

from kspsign.authenticode.script.file import ScriptFile, is_script

__all__ = ["ScriptFile", "is_script"]
