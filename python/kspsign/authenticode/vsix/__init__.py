"""VSIX packages of Visual Studio: archives of the Open Packaging Conventions with an XML signature of their parts."""

from kspsign.authenticode.signable import SignableFormat
from kspsign.authenticode.vsix.package import VsixFile, is_vsix
from kspsign.authenticode.vsix.profile import VSIX_PROFILE

__all__ = ["VSIX", "VsixFile", "is_vsix"]

VSIX = SignableFormat(is_vsix, VsixFile.open, detachable=VSIX_PROFILE)
