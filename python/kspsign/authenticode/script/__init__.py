"""Signed scripts: PowerShell's SIP (ps1 psd1 psm1 mof, ps1xml psc1 cdxml) and Windows Script Host's (vbs js wsf)."""

from functools import partial

from kspsign.authenticode.script.file import PROFILE, ScriptFile, is_script
from kspsign.authenticode.signable import SignableFormat
from kspsign.model.values import Format

__all__ = ["JSCRIPT", "POWERSHELL", "POWERSHELL_XML", "VBSCRIPT", "WSF", "ScriptFile"]


def _script(format_: Format) -> SignableFormat:
    return SignableFormat(partial(is_script, format_), ScriptFile.open, detachable=PROFILE)


POWERSHELL = _script(Format.POWERSHELL)
POWERSHELL_XML = _script(Format.POWERSHELL_XML)
VBSCRIPT = _script(Format.VBSCRIPT)
JSCRIPT = _script(Format.JSCRIPT)
WSF = _script(Format.WSF)
