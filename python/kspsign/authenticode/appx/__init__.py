"""APPX and MSIX packages and their bundles: ZIP archives with a block map, signed in AppxSignature.p7x."""

from kspsign.authenticode.appx.file import AppxFile, is_appx, is_appx_bundle

__all__ = ["AppxFile", "is_appx", "is_appx_bundle"]
