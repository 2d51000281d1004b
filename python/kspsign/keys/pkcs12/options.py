"""The options of key store pkcs12."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from kspsign.keys.options import PasswordVariable
from kspsign.settings.store_options import Ambient, Metavar


class Pkcs12Options(PasswordVariable):
    """The file and its password."""

    pkcs12: Annotated[Path | None, Ambient.REFUSED, Metavar("FILE")] = Field(
        None, description="PKCS#12 file (key store pkcs12)."
    )

    @model_validator(mode="after")
    def _has_file(self) -> Self:
        if self.pkcs12 is None and self.thumbprint is None:
            raise ValueError("--pkcs12 FILE is missing: the PKCS#12 file that signs")
        return self

    @property
    def means_synchronised(self) -> bool:
        """Without the file its earlier certsync is meant, which knows where the file is."""
        return self.pkcs12 is None
