"""NuGet packages (nupkg, snupkg): ZIP archives with an author's or a repository's signature in .signature.p7s."""

from kspsign.authenticode.nuget.package import NugetFile, is_nuget

__all__ = ["NugetFile", "is_nuget"]
