"""Installing DigiCert's client tools (smctl and the KSP) from an MSI that the user supplies with its hash."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

from kspsign.model.errors import PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.address import shown_url, without_login
from kspsign.network.retry import backoff
from kspsign.programs.client_certificate_file import PREFIX
from kspsign.programs.locate import find_msiexec, find_smctl
from kspsign.programs.run import Ran, as_text, call_tool
from kspsign.settings.program_settings import ProgramSettings

MAX_BYTES = 512 << 20
MAX_REDIRECTS = 5
ATTEMPTS, FIRST_PAUSE = 3, 0.25
DOWNLOAD_SECONDS = 1800.0
INSTALL_TIMEOUT = 900.0
_CHUNK = 1 << 20
_LOG_LINES = 15
_RESTART_WANTED = 3010
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_IMAGE = "Install the tools when the agent's image is built"
_ADMINISTRATOR = f"Run the agent as an administrator. {_IMAGE} if that is not possible."
_MEANINGS: dict[int | None, tuple[str, str]] = {
    None: ("it did not finish in time", f"{_IMAGE}; an installer that shows dialogs can't run in a pipeline."),
    1603: ("the installation failed, often because administrator rights or disk space are missing", _ADMINISTRATOR),
    1618: (
        "another installation is running on this machine",
        "Run the step again when it has finished.",
    ),
    1619: ("the package can't be opened", "Check that the file is an MSI and complete, then its SHA-256."),
    1620: ("the file is not a valid MSI", "Check that the file is an MSI and complete, then its SHA-256."),
    1625: ("a policy of this machine forbids it", f"{_IMAGE}, or change the policy."),
    1638: (
        "another version is installed, without smctl",
        "Remove that version, or name its smctl with --smctl.",
    ),
    1925: ("this user is not allowed to install for all users", _ADMINISTRATOR),
}


def install_client_tools(source: str, sha256: str, settings: ProgramSettings, notice: Callable[[str], object]) -> None:
    """Install the MSI `source` (a path or https URL) unless smctl is present; `notice` receives which happened.

    Raises PrerequisiteError when the MSI can't be obtained, has another SHA-256 (it is not started then), or can't be
    installed.
    """
    with contextlib.suppress(PrerequisiteError):
        notice(f"smctl is already installed, the MSI is not needed: {find_smctl(settings)}")
        return
    msiexec = find_msiexec(settings)
    with _private_folder(settings) as folder:
        # The file that was checked is the one that is run: a copy that no other user can replace.
        msi = fetch_msi(source, sha256, folder, settings.network)
        log = folder / "msiexec.log"
        arguments = ["/i", str(msi), "/quiet", "/norestart", "/liwearmo", str(log)]
        ran = call_tool(settings, msiexec, arguments, timeout=INSTALL_TIMEOUT, with_credentials=False)
        restart = restart_wanted(ran, log)
    wish = "; it requires a restart, which was not done" if restart else ""
    notice(f"installed the client tools from {_shown(source)}{wish}: {find_smctl(settings)}")


def fetch_msi(source: str, sha256: str, folder: Path, network: NetworkOptions) -> Path:
    """A copy of the MSI in `folder` that has the SHA-256 stated (lower-case hex); raises PrerequisiteError."""
    target, digest, size = folder / "tools.msi", hashlib.sha256(), 0
    try:
        with target.open("xb") as copy:
            for chunk in _download(source, network) if _is_url(source) else _read(Path(source)):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise _unavailable(source, f"it is larger than {MAX_BYTES >> 20} MiB")
                digest.update(chunk)
                copy.write(chunk)
    except OSError as broken:
        raise _unavailable(source, broken.strerror or type(broken).__name__) from broken
    if digest.hexdigest() != sha256:
        raise PrerequisiteError(
            f"{_shown(source)} has the SHA-256 {digest.hexdigest()}, not {sha256}; not installed",
            code="TOOLS_MSI_MISMATCH",
            remedy="Find out why it changed; if you trust the new file, state its SHA-256 in --tools-msi-sha256.",
        )
    return target


@contextlib.contextmanager
def _private_folder(settings: ProgramSettings) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=settings.temp_folder, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _download(url: str, network: NetworkOptions) -> Iterator[bytes]:
    """Yields the content in chunks; follows redirects to https only."""
    import urllib3  # noqa: PLC0415 - most runs download nothing

    from kspsign.network.failures import reason, surely_not_sent  # noqa: PLC0415 - likewise
    from kspsign.network.pool import Pool  # noqa: PLC0415 - likewise

    with contextlib.closing(Pool(network, deadline=DOWNLOAD_SECONDS)) as pool:
        address, attempt, redirects = url, 1, 0
        while True:
            try:
                with pool.request("GET", address, headers={"Connection": "close"}, attempt=attempt) as reply:
                    target = reply.get_redirect_location()
                    if not target and reply.status == 200:
                        yield from reply.stream(_CHUNK)
                        return
                    if not target and (reply.status not in _TRANSIENT or attempt == ATTEMPTS):
                        raise _unavailable(url, f"HTTP {reply.status}")
                    reply.close()
            except urllib3.exceptions.HTTPError as broken:
                if attempt == ATTEMPTS or not surely_not_sent(broken):
                    raise _unavailable(url, reason(broken)) from broken
                target = None
            if target:
                address, redirects = _redirected(url, address, target, redirects + 1), redirects + 1
            else:
                time.sleep(backoff(attempt, FIRST_PAUSE))
                attempt += 1


def _redirected(url: str, address: str, target: str, redirects: int) -> str:
    """The target of the redirect, without any credentials in it."""
    if redirects > MAX_REDIRECTS:
        raise _unavailable(url, f"more than {MAX_REDIRECTS} redirects")
    address = without_login(urljoin(without_login(address)[0], target))[0]
    if not address.lower().startswith("https://"):
        raise _unavailable(url, "the server redirects to an address that is not https")
    return address


def restart_wanted(ran: Ran, log: Path) -> bool:
    """Whether a successful installation asks for a restart; raises PrerequisiteError with the end of `log` if not."""
    if ran.exit_code in {0, _RESTART_WANTED}:
        return ran.exit_code == _RESTART_WANTED
    meaning, remedy = _MEANINGS.get(ran.exit_code, ("see its log", f"{_IMAGE}, where its log can be read."))
    ended = "" if ran.exit_code is None else f" ended with exit code {ran.exit_code}"
    lines = [line.strip() for line in as_text(log.read_bytes()).splitlines()] if log.exists() else []
    said = "\n".join([line for line in lines if line][-_LOG_LINES:]) or ran.text or "its log is empty"
    raise PrerequisiteError(
        f"msiexec{ended}: {meaning}. The end of its log:\n{said}", code="TOOLS_NOT_INSTALLED", remedy=remedy
    )


def _is_url(source: str) -> bool:
    return "://" in source


def _shown(source: str) -> str:
    """The source without the parts of a URL that may be secret: user, query and fragment."""
    return shown_url(source) if _is_url(source) else source


def _unavailable(source: str, reason: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"{_shown(source)} could not be obtained: {reason}",
        code="TOOLS_MSI_UNAVAILABLE",
        remedy="Correct --tools-msi: a file (a secure file's path) or an https URL that this agent reaches.",
    )
