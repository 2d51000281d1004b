"""ZIP archives (APPNOTE.TXT), read strictly and rewritten without touching what stays: the shell of several formats."""

from kspsign.authenticode.zip.archive import (
    MAX_DIRECTORY,
    MAX_ENTRIES,
    Archive,
    archive_of,
    damaged,
    entry_names,
    read_archive,
)
from kspsign.authenticode.zip.plan import Plan, ZipMember, stored_header, stored_record
from kspsign.authenticode.zip.records import ZipEntry
from kspsign.authenticode.zip.rewrite import ArchiveWriter, Packing
from kspsign.authenticode.zip.scan import Scan, unpack, unpack_pieces
from kspsign.authenticode.zip.signature_entry import read_signature_entry

__all__ = [
    "MAX_DIRECTORY", "MAX_ENTRIES", "Archive", "ArchiveWriter", "Packing",
    "Plan", "Scan", "ZipEntry", "ZipMember", "archive_of", "damaged", "entry_names", "read_archive",
    "read_signature_entry", "stored_header", "stored_record", "unpack", "unpack_pieces",
]  # fmt: skip
