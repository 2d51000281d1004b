"""Calls of a signing program for a batch of files, until each is signed or another try makes no sense.

The result of a call is read from the files, not from its output: a file that carries our signature is never signed
again, whatever the exit code was. One that does not is tried again as a fresh copy: a program that died may have left
it torn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import thumbprint_of
from kspsign.model.errors import SigningError, TrustError
from kspsign.model.values import DigestAlgorithm
from kspsign.programs.run import Ran
from kspsign.programs.signtool_output import SignToolWords, read_words
from kspsign.signing.budget import Budget
from kspsign.signing.tool_calls import Caller, SigningTool
from kspsign.signing.tool_errors import ToolRefusal, call_refusal, file_refusal
from kspsign.signing.tool_staging import stage_again
from kspsign.signing.tool_state import Request, read_state
from kspsign.signing.tool_uses import record_use
from kspsign.signing.use_recorder import UseRecorder, new_use

ATTEMPTS = 3


class SigningRounds:
    """Signs by `signer`, for the certificate's owner `identity`; used from several threads at once.

    `inline_urls` are the timestamp servers to ask in the same call, one per attempt; none where timestamps are added
    later. `called` gets the number of files of each call, its seconds, and whether the key store refused one for a
    while. `transcripts` collects what the calls printed.
    """

    def __init__(
        self,
        signer: SigningTool,
        caller: Caller,
        identity: PublisherIdentity,
        budget: Budget,
        uses: UseRecorder,
        inline_urls: Callable[[], Sequence[str]],
        called: Callable[[int, float, bool], None],
    ) -> None:
        self._signer, self._caller, self._identity = signer, caller, identity
        self._budget, self._uses, self._inline_urls, self._called = budget, uses, inline_urls, called
        self.transcripts: deque[str] = deque()

    def sign_all(self, requests: Sequence[Request]) -> None:
        """Sign what is not signed yet, until it is, or another try makes no sense; alone the last time.

        Each request has what became of it then. Raises CancelledError.
        """
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

    def heard(self, ran: Ran) -> SignToolWords:
        """What the program said in a call, which is kept for the log."""
        self.transcripts.append(ran.text)
        return read_words(ran.output, ran.errors)

    def _sign_group(self, group: Sequence[Request], attempt: int) -> None:
        urls = self._inline_urls()
        url = urls[attempt % len(urls)] if urls else None
        for request in group:
            request.use = new_use()
            digest = DigestAlgorithm(self._caller.settings.digest)
            self._uses.ask(request.use, None, digest, request.artifact.name)
        ran = self._signer.sign([request.name for request in group], url)
        words = self.heard(ran)
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
            record_use(self._uses, request, details.get(request.name), words, wasted=request.name in wasted)
        self._called(len(group), ran.seconds, any(_is_strain(request) for request in group))

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


def _is_everywhere(requests: Sequence[Request]) -> bool:
    """Whether all met an error that every file would meet: one call more shows it as well as one for each."""
    return all(request.refusal is not None and request.refusal.everywhere for request in requests)


def _is_strain(request: Request) -> bool:
    """Whether the key store refused the file for a while, as one that is asked too much does."""
    refusal = request.refusal
    return refusal is not None and refusal.transient and isinstance(refusal.error, SigningError)
