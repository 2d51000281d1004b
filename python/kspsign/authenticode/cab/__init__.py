"""Cabinets (cab, msu, and what else makecab's format is used for): Microsoft "Cabinet File Format"."""

from kspsign.authenticode.cab.cabinet import CabFile, is_cab

__all__ = ["CabFile", "is_cab"]
