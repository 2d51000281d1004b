"""OLE compound files (MS-CFB): read strictly, and rewritten with streams of the root
put in or replaced."""

from kspsign.authenticode.compound.directory import DirectoryEntry, Storage, same_name
from kspsign.authenticode.compound.read import CompoundFile, is_compound, root_class
from kspsign.authenticode.compound.write import MAX_SMALL_SECTORS_SIZE, too_large, write_anew

__all__ = [
    "MAX_SMALL_SECTORS_SIZE",
    "CompoundFile",
    "DirectoryEntry",
    "Storage",
    "is_compound",
    "root_class",
    "same_name",
    "too_large",
    "write_anew",
]
