"""Catalogues of file hashes (.cat)."""

from kspsign.authenticode.cat.catalogue import PROFILE, CatFile, is_cat
from kspsign.authenticode.signable import SignableFormat

__all__ = ["CAT", "CatFile", "is_cat"]

CAT = SignableFormat(is_cat, CatFile.open, detachable=PROFILE)
