"""The command lines of SignTool and smctl: certificate, digest and files; no secrets."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from kspsign.model.errors import CancelledError, ConfigurationError
from kspsign.model.values import SyncedCertificate
from kspsign.programs.locate import Tool, find_signtool, find_smctl
from kspsign.programs.run import Ran, call_tool
from kspsign.programs.signtool_output import SignToolWords
from kspsign.programs.staging import StagingFolder
from kspsign.settings.model import Settings
from kspsign.signing.tool_errors import ToolRefusal

_SIGN_SECONDS, _SIGN_SECONDS_PER_FILE = 120.0, 30.0
_FIRST_PAUSE_SECONDS = 1.0
_STAMP_SECONDS, _STAMP_SECONDS_PER_FILE = 60.0, 15.0


class FileDetails(NamedTuple):
    """Of one file of a call: what the service's log calls its signature, which then is paid for, and why it is not
    signed, if it is not."""

    request_id: str | None
    refusal: ToolRefusal | None


class SigningTool(Protocol):
    """Signs files of the workbench in place, by name, in one call."""

    @property
    def tool(self) -> Tool: ...

    def sign(self, names: Sequence[str], timestamp_url: str | None) -> Ran:
        """One call; with a timestamp from that server in the same command when one is given."""
        ...

    def details(self, ran: Ran, words: SignToolWords, names: Sequence[str]) -> Mapping[str, FileDetails]:
        """What a library inside the program printed about the files of a call; {} where it prints nothing itself."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """How tools are called in this run: in the workbench's folder, with the credentials, until cancelled."""

    settings: Settings
    bench: StagingFolder
    cancelled: threading.Event

    def run(self, tool: Tool, arguments: Sequence[str], timeout: float) -> Ran:
        return call_tool(
            self.settings,
            tool.path,
            arguments,
            timeout=timeout,
            with_credentials=True,
            folder=self.bench.folder,
            cancelled=self.cancelled,
        )

    def having(self, credentials: Mapping[str, SecretStr]) -> Caller:
        """The same with these credentials alone."""
        return replace(self, settings=self.settings.model_copy(update={"credentials": dict(credentials)}))

    def pause(self, attempt: int) -> None:
        """Wait before another try, longer each time; raises CancelledError."""
        if self.cancelled.wait(_FIRST_PAUSE_SECONDS * 2**attempt):
            raise CancelledError


class SignToolSigner:
    """`signtool sign`, by thumbprint (Method 2) or by certificate file, KSP and alias (Method 1); never mixed."""

    def __init__(self, caller: Caller, certificate: SyncedCertificate) -> None:
        self.tool = find_signtool(caller.settings)
        self._caller = caller
        self._certificate = certificate

    def sign(self, names: Sequence[str], timestamp_url: str | None) -> Ran:
        arguments = sign_arguments(self._caller.settings, self._certificate, timestamp_url)
        return self._caller.run(self.tool, [*arguments, *names], _SIGN_SECONDS + _SIGN_SECONDS_PER_FILE * len(names))

    def details(self, _ran: Ran, _words: SignToolWords, _names: Sequence[str]) -> Mapping[str, FileDetails]:
        """A KSP prints nothing."""
        return {}


class SmctlSigner:
    """`smctl sign` of a folder. It exits with 0 even when it failed; the files show the result."""

    def __init__(self, caller: Caller, certificate: SyncedCertificate) -> None:
        if certificate.alias is None:
            raise ConfigurationError("engine smctl needs the key pair's alias", remedy="Name it with --keypair-alias.")
        self.tool = find_smctl(caller.settings)
        self._alias = certificate.alias
        # smctl looks for signtool on PATH: the one that was found comes first.
        self._caller = replace(caller, settings=first_on_path(caller.settings, find_signtool(caller.settings)))
        self._plain_exit = False

    def sign(self, names: Sequence[str], timestamp_url: str | None) -> Ran:
        """smctl takes no server: it asks timestamp.digicert.com when a timestamp is wanted in the same command."""
        folder = self._caller.bench.folder / f"batch-{Path(names[0]).stem}"
        folder.mkdir()
        for name in names:
            (self._caller.bench.folder / name).replace(folder / name)
        try:
            ran = self._call(folder.name, len(names), stamped=timestamp_url is not None)
            if "unknown flag" in ran.text and not self._plain_exit:
                self._plain_exit = True  # older builds do not know --exit-non-zero-on-fail
                ran = self._call(folder.name, len(names), stamped=timestamp_url is not None)
        finally:
            for name in names:
                (folder / name).replace(self._caller.bench.folder / name)
            folder.rmdir()
        return ran

    def details(self, _ran: Ran, _words: SignToolWords, _names: Sequence[str]) -> Mapping[str, FileDetails]:
        """What smctl says is among its errors."""
        return {}

    def _call(self, folder: str, count: int, *, stamped: bool) -> Ran:
        arguments = smctl_arguments(self._caller.settings, self._alias, folder, stamped=stamped)
        if not self._plain_exit:
            arguments.append("--exit-non-zero-on-fail")
        ran = self._caller.run(self.tool, arguments, _SIGN_SECONDS + _SIGN_SECONDS_PER_FILE * count)
        # It says on standard output why a file failed, and may exit with 0 all the same.
        return replace(ran, errors=f"{ran.errors}\n{ran.output}")


def stamp(caller: Caller, tool: Tool, names: Sequence[str], url: str, index: int) -> Ran:
    """`signtool timestamp` of the signature at `index` of each file; costs no signature."""
    arguments = stamp_arguments(caller.settings, url, index)
    return caller.run(tool, [*arguments, *names], _STAMP_SECONDS + _STAMP_SECONDS_PER_FILE * len(names))


def sign_arguments(settings: Settings, certificate: SyncedCertificate, timestamp_url: str | None) -> list[str]:
    """All but the files. Digests are always stated; /debug says which filter dropped a certificate."""
    reference = certificate.key_reference
    if "certificate" in reference:
        who = ["/csp", reference["provider"], "/kc", reference["container"], "/f", reference["certificate"]]
    else:
        machine = ["/sm"] if reference.get("store") == "system" else []
        who = ["/sha1", certificate.thumbprint, "/s", "My", *machine]
    return ["sign", "/v", "/debug", *who, *signature_options(settings, timestamp_url)]


def signature_options(settings: Settings, timestamp_url: str | None) -> list[str]:
    """What SignTool's signature is to be like, whoever makes it."""
    return [
        *("/fd", settings.digest.upper()),
        *(("/as",) if settings.append else ()),
        *(("/ph",) if settings.page_hashes else ()),
        *(("/d", settings.description) if settings.description else ()),
        *(("/du", settings.description_url) if settings.description_url else ()),
        *(("/tr", timestamp_url, "/td", settings.timestamp_algorithm.upper()) if timestamp_url else ()),
    ]


def stamp_arguments(settings: Settings, url: str, index: int) -> list[str]:
    """All but the files; /tp only where it is not the primary signature."""
    place = ["/tp", str(index)] if index else []
    return ["timestamp", "/v", "/debug", "/tr", url, "/td", settings.timestamp_algorithm.upper(), *place]


def first_on_path(settings: Settings, tool: Tool) -> Settings:
    """`settings` whose children find `tool` before any other of its name."""
    variables = dict(settings.agent_environment)
    name = next((key for key in variables if key.upper() == "PATH"), "PATH")
    variables[name] = os.pathsep.join(part for part in (str(tool.path.parent), variables.get(name, "")) if part)
    return settings.model_copy(update={"agent_environment": variables})


def smctl_arguments(settings: Settings, alias: str, folder: str, *, stamped: bool) -> list[str]:
    """All but --exit-non-zero-on-fail, which old builds refuse."""
    return [
        *("sign", f"--keypair-alias={alias}", "--input", folder),
        *(("--digalg", settings.digest.upper()) if settings.digest != "sha256" else ()),  # its default
        *(() if stamped else ("--timestamp=false",)),
        *(("--description", settings.description) if settings.description else ()),
    ]
