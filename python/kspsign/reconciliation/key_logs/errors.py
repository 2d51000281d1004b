"""What stays inside of this package: a record that can't be read is counted and named, and the next one is read."""

from __future__ import annotations


class UnreadableRecordError(Exception):
    """A record of a key's log is not one of its format, or lacks what a comparison needs; the text says why."""
