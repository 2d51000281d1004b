"""What a call of SignTool or smctl made of the uses of the key that it was for."""

from __future__ import annotations

from kspsign.programs.signtool_output import SignToolWords
from kspsign.signing.tool_calls import FileDetails
from kspsign.signing.tool_state import Request
from kspsign.signing.use_recorder import UseRecorder


def record_use(
    uses: UseRecorder, request: Request, more: FileDetails | None, words: SignToolWords, *, wasted: bool
) -> None:
    """Record the answer to `request`: a signature that is in its copy, one that was made and `wasted`, or none.

    Where the program ended without a word on the file, the key may have signed: the use is lost.
    """
    if request.signed or wasted:
        uses.answered(request.use, request.certificate, more.request_id if more is not None else None)
    reason = request.refusal.error.code if request.refusal is not None else None
    if wasted:
        uses.ended(request.use, "discarded", reason)
    elif not request.signed:
        uses.ended(request.use, "refused" if _is_said(request, more, words) else "lost", reason)


def _is_said(request: Request, more: FileDetails | None, words: SignToolWords) -> bool:
    """Whether the program said that it signed nothing: of this file, or of all."""
    refusal = request.refusal
    of_all = refusal is not None and refusal.everywhere
    return of_all or bool(words.by_file.get(request.name)) or (more is not None and more.refusal is not None)
