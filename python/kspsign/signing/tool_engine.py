"""The engines that run SignTool or smctl: many files per process, several processes, no signature paid twice.

A file is copied to the staging folder, signed there with others in one call, stamped in a second one while others are
signed, and copied from there, next to its target. Files with the same content are signed once.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence

from kspsign.authenticode.signable import BundledFiles, SignableFile
from kspsign.certificates.identity import PublisherIdentity
from kspsign.concurrency.batcher import Batcher, BatchShare
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.keys.open import engine_for, timestamp_urls
from kspsign.keys.protocol import SigningKey
from kspsign.model.errors import ArtifactError, SigningError
from kspsign.model.hresults import Hresult
from kspsign.model.signing_facts import Limits
from kspsign.model.values import Artifact, Format, SyncedCertificate
from kspsign.programs.locate import find_signtool
from kspsign.programs.navsip import ensure_navsip
from kspsign.programs.staging import StagingFolder
from kspsign.settings.model import Settings
from kspsign.signing.budget import Budget
from kspsign.signing.clock import StepClock
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.hooks import Hooks
from kspsign.signing.plan import check_for_tools
from kspsign.signing.preflight import Preflight
from kspsign.signing.shared_state import SharedState
from kspsign.signing.tool_calls import Caller, SigningTool
from kspsign.signing.tool_pace import PROCESSES, ToolPace
from kspsign.signing.tool_rounds import SigningRounds
from kspsign.signing.tool_signers import open_signer
from kspsign.signing.tool_staging import stage
from kspsign.signing.tool_state import Request, Signed, read_state
from kspsign.signing.tool_timestamps import ToolTimestamps
from kspsign.signing.waits import Waits
from kspsign.timestamping.server import TokenJudge

_STAMPS, _LEAST_STAMPS = 16, 8
"""Files of a call that adds timestamps."""


class ToolEngine:
    """Signs by `signer`, stamps by SignTool; `sign` is called from several threads at once."""

    def __init__(
        self,
        name: str,
        signer: SigningTool,
        caller: Caller,
        certificate: SyncedCertificate,
        budget: Budget,
        shared: SharedState,
        preflight: Preflight | None,
    ) -> None:
        settings = caller.settings
        self.name = name
        self.limits = Limits()
        self.hooks = Hooks(
            admit=self._admit,
            on_committed=self._record_embedded,
            notices=self._notices,
            tool=signer.tool,
            tool_output=self._printed,
        )
        self._caller = caller
        self._urls = timestamp_urls(settings, certificate.key_store)
        self._lock, self._called_in_turn = threading.Lock(), threading.Lock()
        self._navsip = ""
        self._shared, self._budget, self._preflight = shared, budget, preflight
        self._once: SingleFlight[Signed] = SingleFlight()
        jobs = settings.jobs if "jobs" in settings.model_fields_set else None
        self._pace = ToolPace(jobs)
        self.concurrency = self._pace.concurrency
        identity = PublisherIdentity.of(certificate.chain[0])
        inline = self._believed if settings.timestamp_mode == "inline" else tuple[str, ...]
        self._rounds = SigningRounds(signer, caller, identity, budget, shared.uses, inline, self._called)
        self._signing: Batcher[Request, None] = Batcher(_settling(self._rounds.sign_all), self._pace.first)
        self._stamping: Batcher[Request, None] | None = None
        if self._urls:
            stamps = ToolTimestamps(caller, find_signtool(settings), self._urls, self._believed, self._rounds.heard)
            share = BatchShare(_STAMPS, jobs or PROCESSES, least=_LEAST_STAMPS)
            self._stamping = Batcher(_settling(stamps.stamp_all), share)

    @property
    def signatures_used(self) -> int:
        """What the budget counted."""
        return self._budget.spent

    @property
    def waits(self) -> Waits:
        """What is in the hands of a call waits for its service, as far as can be seen from here."""
        stamps = 0 if self._stamping is None else self._stamping.pending
        return Waits(key_store=self._signing.pending, timestamp=stamps)

    def sign(self, held: LockedTarget, file: SignableFile) -> SignedCopy:
        """Write a signed copy next to the target, batched with others requested at the same time.

        Raises ArtifactError, SigningError or TimestampError with SignTool's own words; see Engine.
        """
        clock, bench, artifact = StepClock(), self._caller.bench, held.artifact
        digest = file.digest([])
        if artifact.format is Format.NAVX:
            self._need_navsip()
        clock.lap("digest")
        repeated = artifact.size in self._shared.repeated_sizes
        with self._shared.slots.released():
            if repeated:
                signed = self._once.get(bytes.fromhex(digest.sha256), lambda: self._signed(artifact, file))
            else:
                signed = self._signed(artifact, file)
        clock.lap("sign")
        copy = held.create_copy()
        shutil.copyfile(bench.folder / signed.name, copy)
        if not repeated:
            bench.remove(signed.name)
        clock.lap("embed")
        requests = () if signed.request_id is None else (signed.request_id,)
        certificate, use = signed.certificate, signed.use
        return SignedCopy(artifact, copy, digest, clock.seconds, certificate=certificate, request_ids=requests, use=use)

    def _record_embedded(self, copy: SignedCopy) -> None:
        """A copy has taken its target's place."""
        self._shared.uses.embedded_use(copy.use, copy.artifact.name, copy.hashes.sha256)

    def _admit(self, file: SignableFile) -> None:
        """Raise ArtifactError for what no tool signs: a format with XML signatures, a bundle with unsigned files in it;
        else the tool has terms of its own."""
        check_for_tools(file)
        if isinstance(file, BundledFiles) and file.unsigned_inner():
            raise ArtifactError(
                Hresult.TRUST_E_NOSIGNATURE,
                f"it has an unsigned file inside, a package or an engine, and {self.name} signs the bundle alone",
                remedy="Sign it with --engine native, which signs both; or sign the files inside first, bundle them "
                "afterwards (MakeAppx bundle, wix burn reattach), then sign the bundle.",
            )
        if self._preflight is not None:
            self._preflight.start()

    def _believed(self) -> tuple[str, ...]:
        """The timestamp servers, without those whose tokens would not verify."""
        return self._urls if self._preflight is None else self._preflight.believed(self._urls)

    def _notices(self) -> tuple[str, ...]:
        """Whether this machine's clock is right."""
        notice = self._preflight.notice if self._preflight is not None else None
        return () if notice is None else (notice,)

    def _printed(self) -> Iterator[str]:
        """What the calls printed since the last time, call by call."""
        while self._rounds.transcripts:
            yield self._rounds.transcripts.popleft()

    def close(self) -> None:
        """Wait for the calls under way."""
        self._signing.close()
        if self._stamping is not None:
            self._stamping.close()

    def _need_navsip(self) -> None:
        """Once a run; raises PrerequisiteError, for each package that would not be recognised."""
        with self._lock:
            if not self._navsip:
                self._navsip = ensure_navsip(self._caller.settings)

    def _signed(self, artifact: Artifact, file: SignableFile) -> Signed:
        """A signed copy in the staging folder. Costs a signature, or several where timestamps fail inline."""
        bench = self._caller.bench
        request = Request(artifact, file, stage(bench, artifact, file), read_state(artifact.path, artifact))
        try:
            with self._turn():
                self._shared.breaker.check()
                self._budget.take()
                self._ask(request)
                if self._stamping is not None:
                    # Also inline: for a signature whose timestamp failed without the signature's failing.
                    self._stamping.ask(request)
        except BaseException:
            bench.remove(request.name)
            raise
        return Signed(request.name, request.certificate, request.request_id, request.use)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Within the block a signature may be spent, as far as timestamps go."""
        if self._preflight is None:
            yield
            return
        with self._preflight.turn():
            yield
        self._preflight.stamped()

    def _ask(self, request: Request) -> None:
        try:
            self._signing.ask(request)
        except SigningError as refused:
            self._shared.breaker.record_failure(refused)
            raise
        else:
            self._shared.breaker.record_success()
        finally:
            if not request.signed:
                self._budget.give_back()

    def _called(self, files: int, seconds: float, strained: bool) -> None:
        """A call signed `files` files in `seconds`."""
        with self._called_in_turn:  # no older share takes the place of a newer one
            self._signing.set_share(self._pace.after(files, seconds, strained=strained))


def _settling(work: Callable[[Sequence[Request]], None]) -> Callable[[Sequence[Request]], list[Exception | None]]:
    """The work of a batcher: `work`, and what it refused."""

    def settle(requests: Sequence[Request]) -> list[Exception | None]:
        work(requests)
        return [request.refusal.error if request.refusal else None for request in requests]

    return settle


@contextlib.contextmanager
def open_tool_engine(
    settings: Settings,
    key: SigningKey,
    budget: Budget,
    shared: SharedState,
    _judge: TokenJudge,
    preflight: Preflight | None,
) -> Iterator[ToolEngine]:
    """The engine of these settings, "signtool" or "smctl"; its staging folder is removed at the end.

    The program asks the timestamp servers itself, once `preflight` says that timestamps can be had.
    Raises PrerequisiteError when a tool is missing.
    """
    certificate, name = key.certificate, engine_for(settings, key.certificate)
    with StagingFolder(settings.temp_folder) as bench:
        caller, signer = open_signer(name, Caller(settings, bench, shared.cancelled), certificate)
        engine = ToolEngine(name, signer, caller, certificate, budget, shared, preflight)
        try:
            yield engine
        finally:
            engine.close()
            shared.uses.end(kept=False)
