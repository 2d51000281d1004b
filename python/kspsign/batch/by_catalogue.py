"""Verification by catalogues: which files they are, and their members that no judged file is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kspsign.batch.run import Run
from kspsign.batch.select import named_artifacts
from kspsign.model.errors import ConfigurationError
from kspsign.model.report import LeftOut, RunWarning
from kspsign.model.values import Format
from kspsign.verifying import Verifier
from kspsign.verifying.catalogues import CatalogueVerifier, read_catalogues

_NAMED = 5
_UNSEEN = "a member of the catalogue that no judged file is"


class ByCatalogue(NamedTuple):
    """The run with its catalogues among its files, and the verifier that knows them."""

    files: Run
    verifier: CatalogueVerifier

    def account(self) -> None:
        """Count and name the members that no judged file is: nothing is known of their files."""
        unseen = [f"{member} ({catalogue})" for catalogue, member in self.verifier.unseen()]
        record = self.files.record
        record.left_out = (*record.left_out, *(LeftOut(name, _UNSEEN) for name in unseen))
        self.files.warn(_unseen_warnings(unseen))


def open_catalogues(files: Run, verifier: Verifier) -> ByCatalogue:
    """Judge the catalogues of the settings. They are files of the run too, whether or not a pattern matches them.

    Raises ConfigurationError for one that can't be read or is not a catalogue.
    """
    named = named_artifacts((path.absolute() for path in files.settings.catalog), files.settings.folder)
    for artifact in named:
        if artifact.format is not Format.CAT:
            why = "is not a catalogue" if artifact.readable else "can't be read"
            raise ConfigurationError(
                f"--catalog names {artifact.name}, which {why}",
                remedy="Name a catalogue (.cat), as kspsign catalog, New-FileCatalog or Inf2Cat create one.",
            )
    known = {artifact.real: artifact for artifact in files.artifacts}
    catalogues = [known.get(artifact.real, artifact) for artifact in named]
    artifacts = (*(artifact for artifact in catalogues if artifact.real not in known), *files.artifacts)
    judged = CatalogueVerifier(verifier, read_catalogues(catalogues, verifier))
    return ByCatalogue(files._replace(artifacts=artifacts), judged)


def _unseen_warnings(unseen: Sequence[str]) -> Iterator[RunWarning]:
    if unseen:
        more = f" and {len(unseen) - _NAMED} more" if len(unseen) > _NAMED else ""
        yield RunWarning(
            "CATALOG_MEMBERS_NOT_CHECKED",
            f"members without a file, of which nothing is known: {', '.join(unseen[:_NAMED])}{more}",
            "Have the patterns match these files too, unless they are not delivered.",
        )
