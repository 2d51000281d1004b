"""A publisher at work inside containers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.samples import Run, assert_no_leftovers, kspsign
from support.signing import Publisher


@dataclass(frozen=True)
class Worker:
    """Signs and verifies what is in a folder, and inside."""

    publisher: Publisher

    def sign(self, folder: Path, *options: object, inside: str = "--inside", command: str = "sign") -> Run:
        """Sign all of the folder; nothing half written is left."""
        stamp = ("--timestamp-url", self.publisher.timestamp_url)
        chosen = (
            *self.publisher.file.options,
            *stamp,
            "--trust-root",
            self.publisher.roots,
            "--folder",
            folder,
            inside,
        )
        run = kspsign(command, ".", *chosen, *options, folder=folder.parent)
        assert_no_leftovers(folder)
        return run

    def verify(self, folder: Path, *options: object, inside: str = "--inside") -> Run:
        """Verify all of the folder."""
        chosen = ("--trust-root", self.publisher.roots, "--folder", folder, inside)
        return kspsign("verify", "**", *chosen, *options, folder=folder.parent)
