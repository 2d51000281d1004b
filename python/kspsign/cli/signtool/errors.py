"""What SignTool would refuse, or kspsign does, in SignTool's words."""

from __future__ import annotations

from typing import ClassVar

from kspsign.model.errors import KspSignError


class SignToolError(KspSignError):
    """`message` is SignTool's sentence after "SignTool Error: ", `cause` what kspsign knows beyond it; no file was
    touched."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str, remedy: str = "", *, cause: str = "") -> None:
        super().__init__(sentence, code="SIGNTOOL_REFUSAL", remedy=remedy)
        self.cause = cause
