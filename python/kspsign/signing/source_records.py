"""Where a source of signatures notes what it asks for and obtains."""

from __future__ import annotations

from typing import NamedTuple

from kspsign.signing.journal import Journal
from kspsign.signing.signature_cache import SignatureCache
from kspsign.signing.use_recorder import UseRecorder


class SourceRecords(NamedTuple):
    """Where signatures are noted: `uses` records each use of the key.

    `journal` is None where a signature costs nothing, so that none is worth keeping. Through a `cache` other runs get
    the same signatures.
    """

    uses: UseRecorder
    journal: Journal | None = None
    cache: SignatureCache | None = None
