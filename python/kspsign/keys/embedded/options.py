"""The options of key store embedded: only the common ones."""

from __future__ import annotations

from kspsign.settings.store_options import StoreOptions


class EmbeddedOptions(StoreOptions):
    """Its keys are in the thumbprint store, whose folder is a setting of the run."""
