"""PE images (exe, dll, sys, ocx, efi, scr, cpl, mui; x86, x64, arm64, .NET): Microsoft "PE Format" specification."""

from kspsign.authenticode.pe.image import PROFILE, PeFile, is_pe
from kspsign.authenticode.pe.open import open_image, open_image_to_replace
from kspsign.authenticode.signable import SignableFormat

__all__ = ["PE", "PeFile", "is_pe"]

PE = SignableFormat(is_pe, open_image, open_image_to_replace, PROFILE)
