"""Cabinets (cab, msu, and what else makecab's format is used for): Microsoft "Cabinet File Format"."""

from kspsign.authenticode.cab.cabinet import PROFILE, CabFile, is_cab
from kspsign.authenticode.signable import SignableFormat

__all__ = ["CAB", "CabFile", "is_cab"]

CAB = SignableFormat(is_cab, CabFile.open, detachable=PROFILE)
