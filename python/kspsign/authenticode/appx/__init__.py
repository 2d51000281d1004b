"""APPX and MSIX packages and their bundles: ZIP archives with a block map, signed in AppxSignature.p7x."""

from kspsign.authenticode.appx.file import PROFILE, AppxFile, is_appx, is_appx_bundle
from kspsign.authenticode.signable import SignableFormat

__all__ = ["APPX", "APPX_BUNDLE", "AppxFile", "is_appx", "is_appx_bundle"]

APPX = SignableFormat(is_appx, AppxFile.open, detachable=PROFILE)
APPX_BUNDLE = SignableFormat(is_appx_bundle, AppxFile.open, detachable=PROFILE)
