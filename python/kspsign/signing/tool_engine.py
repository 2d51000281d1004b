"""The engines that run SignTool or smctl: many files per process, several processes, no signature paid twice.

A file is copied to the staging folder, signed there with others in one call, stamped in a second one, and copied from
there, next to its target. The result of a call is read from the files, not from its output: a file that carries our
signature is never signed again, whatever the exit code was. One that does not is tried again as a fresh copy: a program
that died may have left it torn. Files with the same content are signed once.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Sequence

from kspsign.authenticode.signable import BundledFiles, SignableFile
from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import thumbprint_of
from kspsign.concurrency.batcher import Batcher
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.keys.open import engine_for, timestamp_urls
from kspsign.keys.protocol import SigningKey
from kspsign.model.errors import ArtifactError, SigningError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.signing_facts import Limits
from kspsign.model.values import Artifact, DigestAlgorithm, Format, SyncedCertificate
from kspsign.programs.locate import find_signtool
from kspsign.programs.navsip import ensure_navsip
from kspsign.programs.run import Ran
from kspsign.programs.signtool_output import SignToolWords, read_words
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
from kspsign.signing.tool_errors import ToolRefusal, call_refusal, file_refusal
from kspsign.signing.tool_signers import open_signer
from kspsign.signing.tool_staging import stage, stage_again
from kspsign.signing.tool_state import Request, Signed, read_state
from kspsign.signing.tool_timestamps import ToolTimestamps
from kspsign.signing.tool_uses import record_use
from kspsign.signing.use_recorder import new_use
from kspsign.signing.waits import Waits
from kspsign.timestamping.server import TokenJudge

PROCESSES = 4
"""Processes side by side unless --jobs says otherwise; each signs its files one after the other."""
BATCH = 16
MAX_IN_FLIGHT = 256
ATTEMPTS = 3


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
        self._signer, self._caller = signer, caller
        self._urls = timestamp_urls(settings, certificate.key_store)
        self._identity = PublisherIdentity.of(certificate.chain[0])
        self._inline = settings.timestamp_mode == "inline"
        self._transcripts: deque[str] = deque()
        self._stamping: ToolTimestamps | None = None
        if self._urls:
            self._stamping = ToolTimestamps(caller, find_signtool(settings), self._urls, self._believed, self._heard)
        self._lock = threading.Lock()
        self._navsip = ""
        self._shared, self._budget, self._preflight = shared, budget, preflight
        self._once: SingleFlight[Signed] = SingleFlight()
        self._waiting = 0
        processes = settings.jobs if "jobs" in settings.model_fields_set else PROCESSES
        size = max(1, min(BATCH, MAX_IN_FLIGHT // processes))
        self.concurrency = size * processes
        self._batcher: Batcher[Request, None] = Batcher(self._work, size=size, processes=processes)

    @property
    def signatures_used(self) -> int:
        """What the budget counted."""
        return self._budget.spent

    @property
    def waits(self) -> Waits:
        """All that is in the tool's hands waits for the key store, as far as can be seen from here."""
        return Waits(key_store=self._waiting)

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
        while self._transcripts:
            yield self._transcripts.popleft()

    def close(self) -> None:
        """Wait for the calls under way."""
        self._batcher.close()

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
        with self._lock:
            self._waiting += 1
        try:
            self._batcher.ask(request)
        except SigningError as refused:
            self._shared.breaker.record_failure(refused)
            raise
        else:
            self._shared.breaker.record_success()
        finally:
            with self._lock:
                self._waiting -= 1
            if not request.signed:
                self._budget.give_back()

    def _work(self, requests: Sequence[Request]) -> list[Exception | None]:
        self._sign_all(requests)
        # Inline, it is for a signature whose timestamp failed without the signature's failing.
        if self._stamping is not None:
            self._stamping.stamp_all([request for request in requests if request.signed])
        return [request.refusal.error if request.refusal else None for request in requests]

    def _sign_all(self, requests: Sequence[Request]) -> None:
        """Sign what is not signed yet, until it is, or another try makes no sense; alone the last time."""
        waiting = list(requests)
        for attempt in range(ATTEMPTS):
            alone = attempt == ATTEMPTS - 1 and not _is_everywhere(waiting)
            for group in [[request] for request in waiting] if alone else [waiting]:
                self._sign_group(group, attempt)
            waiting = [
                request for request in waiting if not request.signed and request.refusal and request.refusal.transient
            ]
            if not waiting:
                return
            self._caller.pause(attempt)
            waiting = [request for request in waiting if stage_again(self._caller.bench, request)]

    def _sign_group(self, group: Sequence[Request], attempt: int) -> None:
        urls = self._believed() if self._inline else ()
        url = urls[attempt % len(urls)] if urls else None
        uses = self._shared.uses
        for request in group:
            request.use = new_use()
            uses.ask(request.use, None, DigestAlgorithm(self._caller.settings.digest), request.artifact.name)
        ran = self._signer.sign([request.name for request in group], url)
        words = self._heard(ran)
        details = self._signer.details(ran, words, [request.name for request in group])
        stopped: ToolRefusal | None = None
        for request in group:
            request.signed = self._is_signed(request, words)
            said, more = words.by_file.get(request.name), details.get(request.name)
            if request.signed:
                request.refusal, request.request_id = None, more.request_id if more is not None else None
            elif more is not None and more.refusal is not None:
                request.refusal = more.refusal
            elif said:
                request.refusal = file_refusal(said)
            else:
                stopped = stopped or call_refusal(ran, words)
                request.refusal = stopped
        unsigned = [request.name for request in group if not request.signed]
        # A timestamp that failed in the same command came after the signature, which was made for nothing.
        unstamped = {name for name in unsigned if "timestamp server" in words.by_file.get(name, "")}
        wasted = unstamped | {name for name in unsigned if name in details and details[name].request_id}
        self._budget.lose(len(wasted))
        for request in group:
            record_use(uses, request, details.get(request.name), words, wasted=request.name in wasted)

    def _is_signed(self, request: Request, words: SignToolWords) -> bool:
        """Whether ours is among the signatures, and they are not those that it carried before, perhaps ours too."""
        state = read_state(self._caller.bench.folder / request.name, request.artifact)
        certificates = [signature.certificate for signature in state.signatures if signature.certificate is not None]
        ours = [leaf for leaf in certificates if self._is_ours(leaf)]
        if not ours or (state.embedded == request.before.embedded and request.name not in words.done):
            return False
        request.signatures, request.certificate = state.embedded, thumbprint_of(ours[-1])
        return True

    def _is_ours(self, leaf: bytes) -> bool:
        """The program chooses the certificate of the key pair, which may have been renewed."""
        try:
            return self._identity.is_same(PublisherIdentity.of(leaf))
        except TrustError:
            return False

    def _heard(self, ran: Ran) -> SignToolWords:
        self._transcripts.append(ran.text)
        return read_words(ran.output, ran.errors)


def _is_everywhere(requests: Sequence[Request]) -> bool:
    """Whether all met an error that every file would meet: one call more shows it as well as one for each."""
    return all(request.refusal is not None and request.refusal.everywhere for request in requests)


@contextlib.contextmanager
def open_tool_engine(
    settings: Settings,
    key: SigningKey,
    budget: Budget,
    shared: SharedState,
    _judge: TokenJudge,
    preflight: Preflight | None,
) -> Iterator[ToolEngine]:
    """The engine of these settings, "signtool" or "smctl"; its workbench is removed at the end.

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
