"""NuGet packages (nupkg, snupkg): ZIP archives with an author's or a repository's signature in .signature.p7s."""

from kspsign.authenticode.nuget.package import NugetFile, is_nuget
from kspsign.authenticode.nuget.profile import NUGET as PROFILE
from kspsign.authenticode.signable import SignableFormat

__all__ = ["NUGET", "NugetFile", "is_nuget"]

NUGET = SignableFormat(is_nuget, NugetFile.open, detachable=PROFILE)
