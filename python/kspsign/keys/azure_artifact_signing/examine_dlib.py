"""What the doctor asks of SignTool with the dlib: the program, the library, its runtime, and whether it can sign in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kspsign.keys.azure_artifact_signing.dlib import dlib_sign_in
from kspsign.keys.azure_artifact_signing.metadata import SigningTarget
from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_identity.credential import chosen_credential
from kspsign.keys.azure_identity.sign_in import GivenSignIn
from kspsign.keys.prerequisites import Prerequisite, examine, failed, not_checked, passed, warned
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import KspSignError
from kspsign.programs.locate import find_signtool
from kspsign.programs.locate_dlib import check_signtool, find_dlib, find_runtime, is_supported

SIGNTOOL, DLIB, RUNTIME, DLIB_SIGN_IN = "signtool", "dlib", ".NET runtime", "dlib sign-in"
DLIB_CHECKS: Final = (SIGNTOOL, DLIB, RUNTIME, DLIB_SIGN_IN)


def examine_dlib(
    options: ArtifactSigningOptions, surroundings: Surroundings, target: SigningTarget
) -> Iterator[Prerequisite]:
    """Each of DLIB_CHECKS; starts no program."""
    yield _signtool(surroundings)
    try:
        dlib = find_dlib(surroundings, options.signing_dlib)
    except KspSignError as error:
        yield failed(DLIB, error)
        yield not_checked(RUNTIME, f'needs "{DLIB}", which failed')
    else:
        yield passed(DLIB, str(dlib))
        yield examine(RUNTIME, lambda: find_runtime(surroundings, dlib))
    yield examine(DLIB_SIGN_IN, lambda: _sign_in(options, surroundings, target))


def _signtool(surroundings: Surroundings) -> Prerequisite:
    try:
        tool = find_signtool(surroundings)
        check_signtool(tool)
    except KspSignError as error:
        return failed(SIGNTOOL, error)
    if is_supported(tool):
        return passed(SIGNTOOL, str(tool))
    remedy = "Install the Windows SDK 10.0.26100 (winget install Microsoft.WindowsSDK.10.0.26100)."
    return warned(SIGNTOOL, f"{tool} is a version that Microsoft does not support with the dlib", remedy)


def _sign_in(options: ArtifactSigningOptions, surroundings: Surroundings, target: SigningTarget) -> str:
    given = GivenSignIn(options, surroundings)
    used, variables = dlib_sign_in(chosen_credential(given, target.excluded), given)
    got = f" with {', '.join(sorted(variables))}" if variables else ""
    return f"{used}{got}; every other credential is excluded"
