"""Catalogues of file hashes (.cat)."""

from kspsign.authenticode.cat.catalogue import CatFile, is_cat

__all__ = ["CatFile", "is_cat"]
