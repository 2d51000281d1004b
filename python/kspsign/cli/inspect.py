"""`kspsign inspect`: the facts about the signatures of files and of what is inside them, for people or as JSON."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import FileSignature
from kspsign.batch.outcomes import EXIT_NOT_VERIFIED, checked
from kspsign.batch.select import select_artifacts
from kspsign.certificates.parse import distinguished_name, parse_certificate, thumbprint_of
from kspsign.cli.inspect_screen import print_line, print_screen
from kspsign.cli.inspected import Inspected, carried_chain, inner_signatures, own_signatures
from kspsign.model.values import Artifact, iso_utc
from kspsign.publishing.sanitize import encodable
from kspsign.settings.model import Settings
from kspsign.verifying import Verifier, open_verifier, read_signatures

SCHEMA = "kspsign.inspect/1"
_NARROWEST, _WIDEST = 60, 100


def inspect_files(settings: Settings, out: TextIO, *, as_json: bool = False) -> int:
    """Print the facts, signatures and checks of each file that `settings` select; 0 when all verify, 2 when not.

    Raises NoFilesMatchedError when a file does not exist or nothing matches; what `enter` does where `inside` is set.
    """
    verifier = open_verifier(Settings(command="verify", trust_root=settings.trust_root), None)
    with contextlib.ExitStack() as resources:
        if settings.inside:
            files = _with_inside(settings, verifier, resources)
        else:
            files = _alone(select_artifacts(settings.files, settings.folder).artifacts, verifier)
        verified = list(_as_json(files, out) if as_json else _as_screens(files, out))
    if len(verified) > 1 and not as_json:
        passed = sum(verified)
        out.write(f"\n{len(verified)} files: {passed} verified, {len(verified) - passed} failed\n")
    return 0 if all(verified) else EXIT_NOT_VERIFIED


def _alone(artifacts: Sequence[Artifact], verifier: Verifier) -> Iterator[Inspected]:
    """Each file by its own signatures."""
    for artifact in artifacts:
        snapshot = Snapshot(artifact.path)
        verification = verifier.verify(snapshot, artifact.format, artifact.name)
        yield Inspected(artifact, snapshot, checked(artifact, verification, {}))


def _with_inside(settings: Settings, verifier: Verifier, resources: contextlib.ExitStack) -> Iterator[Inspected]:
    """Each file, and after a container what it holds; `resources` keep that until all is shown."""
    from kspsign.batch.inside.enter import enter, holds_selected  # noqa: PLC0415 - few look inside
    from kspsign.batch.inside.folder import PrivateFolder  # noqa: PLC0415 - likewise
    from kspsign.batch.inside.judge_all import judge_all  # noqa: PLC0415 - likewise

    holds: Callable[[Artifact], bool] = holds_selected(settings, None)
    artifacts = select_artifacts(settings.files, settings.folder, holds=holds).artifacts
    folder = resources.enter_context(PrivateFolder(settings.temp_folder))
    entered = enter(artifacts, settings, None, folder, threading.Event())
    entered.check_patterns()
    outcomes = judge_all(entered, verifier)
    for artifact in sorted(entered.artifacts, key=lambda artifact: artifact.name.split("/")):
        snapshot = Snapshot(artifact.path, keep=artifact.container is None)
        yield Inspected(artifact, snapshot, outcomes[artifact.name])


def _as_screens(files: Iterator[Inspected], out: TextIO) -> Iterator[bool]:
    """Print a screen for each file of its own and a line for each inside; whether they verified."""
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    depths: dict[str, int] = {}
    for found in files:
        container = found.artifact.container
        if container is None:
            out.write("\n" if depths else "")
            print_screen(found, out, width)
        else:
            print_line(found.outcome, depths[container], out)
        depths[found.artifact.name] = 0 if container is None else depths[container] + 1
        yield found.outcome.verdict.ok


def _as_json(files: Iterator[Inspected], out: TextIO) -> Iterator[bool]:
    """Print one document of all files; whether they verified."""
    listed = [_facts(found) for found in files]
    verified = [facts["verdict"]["result"] == "verified" for facts in listed]
    out.write(_inert(json.dumps({"schema": SCHEMA, "passed": all(verified), "files": listed}, indent=2)) + "\n")
    yield from verified


def _facts(found: Inspected) -> dict[str, Any]:
    """The facts for programs: what the report says of a file, with the issuers of each signer."""
    outcome, file = found.outcome, found.file
    signatures: Sequence[FileSignature] = read_signatures(file)[0] if file else ()
    facts = [{**asdict(fact), "chain": []} for fact in inner_signatures(outcome)]
    facts += [
        {**asdict(fact), "chain": [_link(link) for link in carried_chain(signature)]}
        for signature, fact in zip(signatures, own_signatures(outcome), strict=False)
    ]
    return {
        "path": encodable(outcome.path),
        "format": outcome.format,
        "size": found.snapshot.size,
        "sha256": found.sha256,
        "signatures": facts,
        "verdict": asdict(outcome.verdict),
        "error": asdict(outcome.error) if outcome.error else None,
        "container": encodable(outcome.container) if outcome.container is not None else None,
        "inside": asdict(outcome.inside) if outcome.inside is not None else None,
    }


def _link(certificate: bytes) -> dict[str, str]:
    parsed = parse_certificate(certificate)
    return {
        "subject": distinguished_name(parsed.subject),
        "issuer": distinguished_name(parsed.issuer),
        "thumbprint": thumbprint_of(certificate),
        "not_before": iso_utc(parsed.not_valid_before_utc),
        "not_after": iso_utc(parsed.not_valid_after_utc),
    }


def _inert(text: str) -> str:
    """JSON in which no line is a logging command of an agent."""
    return text.replace("#", "\\u0023")
