"""SignTool with the dlib of Azure Artifact Signing: the service chooses the certificate of each signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_identity.installed import azure_clients
from kspsign.keys.open import options_for, surroundings_of
from kspsign.keys.protocol import no_notice
from kspsign.keys.table import STORES
from kspsign.model.values import SyncedCertificate
from kspsign.programs.dlib_output import read_dlib
from kspsign.programs.locate import find_signtool
from kspsign.programs.locate_dlib import check_signtool, find_dlib
from kspsign.programs.run import Ran
from kspsign.programs.signtool_output import SignToolWords
from kspsign.signing.dlib_errors import dlib_refusal
from kspsign.signing.tool_calls import Caller, FileDetails, signature_options

with azure_clients("azure-artifact-signing"):
    from kspsign.keys.azure_artifact_signing.dlib import dlib_sign_in, metadata_text
    from kspsign.keys.azure_artifact_signing.metadata import find_target, kept_target
    from kspsign.keys.azure_identity.credential import chosen_credential
    from kspsign.keys.azure_identity.sign_in import GivenSignIn

METADATA: Final = "metadata.json"
"""In the staging folder, whose other names are numbers."""
_SECONDS, _SECONDS_PER_FILE = 120.0, 300.0
"""The dlib waits for the service up to 300 s, and signs one file after the other."""


class DlibSigner:
    """`signtool sign /dlib`; a SigningTool. SignTool gets the credentials of `caller` and those of one sign-in."""

    def __init__(self, caller: Caller, certificate: SyncedCertificate) -> None:
        """Raises PrerequisiteError when SignTool or the dlib is missing or they don't fit together,
        ConfigurationError when the dlib can't sign in as is meant."""
        settings = caller.settings
        options = options_for(settings, STORES.find(certificate.key_store), certificate.thumbprint)
        if not isinstance(options, ArtifactSigningOptions):
            raise TypeError(f"{certificate.key_store} is not signed with by a dlib")
        self.tool = find_signtool(settings)
        check_signtool(self.tool)
        self._dlib = find_dlib(settings, options.signing_dlib)
        surroundings = surroundings_of(settings, options, caller.cancelled, no_notice)
        if options.means_synchronised:
            target = kept_target(certificate.key_reference, options, surroundings.environment)
        else:
            target = find_target(options, surroundings.environment)
        given = GivenSignIn(options, surroundings)
        used, variables = dlib_sign_in(chosen_credential(given, target.excluded), given)
        (caller.bench.folder / METADATA).write_text(metadata_text(target, used), encoding="utf-8")
        self._caller = caller.having({**settings.credentials, **variables})

    def sign(self, names: Sequence[str], timestamp_url: str | None) -> Ran:
        """See SigningTool."""
        arguments = [
            *("sign", "/v", "/debug", "/dlib", str(self._dlib.path), "/dmdf", METADATA),
            *signature_options(self._caller.settings, timestamp_url),
        ]
        return self._caller.run(self.tool, [*arguments, *names], _SECONDS + _SECONDS_PER_FILE * len(names))

    def details(self, ran: Ran, words: SignToolWords, names: Sequence[str]) -> Mapping[str, FileDetails]:
        """See SigningTool."""
        return {
            name: FileDetails(said.operation, dlib_refusal(words.by_file.get(name) or words.general, said))
            for name, said in read_dlib(ran.output, names).items()
        }
