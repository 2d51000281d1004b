"""A Windows of one test's own: the lab's programs in a cloned Wine prefix, with certificate stores and faults."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryFile
from typing import IO

from windows_lab.building import Engine
from windows_lab.lab.host.token import token_of

KSP = "DigiCert Signing Manager KSP"
WINE_SERVER = "/usr/lib/wine/wineserver64"
TIMEOUT_SECONDS = 600
LIFE_SECONDS = 3 * 3600
"""Longer than any module's tests take on a busy machine."""
END_SECONDS = 120
ANSI = "cp1252"
"""The code page in which Windows programs write to a pipe, unless they say otherwise."""

CREDENTIALS = {
    "SM_HOST": "https://clientauth.one.digicert.com",
    "SM_API_KEY": "lab-api-key",
    "SM_CLIENT_CERT_PASSWORD": "lab-password",
}
"""What the lab's KSP and smctl ask for, beside SM_CLIENT_CERT_FILE."""

LAB_VARIABLES = ("WINLAB", "WINLAB_STATE")
"""What tells the lab's KSP and smctl where their keys and faults are; a vendor's would know without."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; line ends are LF."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams, stdout first."""
        return self.stdout + self.stderr


@dataclass(frozen=True, slots=True)
class LabKey:
    """One key pair of the lab's key store."""

    alias: str
    thumbprint: str
    certificate: Path
    chain: Path


@dataclass(frozen=True, slots=True)
class Windows:
    """Programs run with `folder` as working folder, and with `environment` plus PATH and nothing else.

    A program's name is that of a wrapper in LAB/bin without `lab-`. Paths below `folder` can be given relative, with
    `/`; `path` makes any other a Windows one.
    """

    lab: Path
    root: Path
    engine: Engine
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The working folder of the test."""
        return self.root / "work"

    @property
    def trust_root(self) -> Path:
        """The root of the lab's certificates and timestamps (PEM); this Windows trusts it."""
        return self.lab / "pki" / "root.crt"

    def boot(self) -> None:
        """Clone the prefix and log in to the key store; once, before anything runs."""
        self.folder.mkdir()
        (self.root / "state" / "faults").mkdir(parents=True)
        client = self.root / "client.p12"
        client.touch()
        self.environment.update(CREDENTIALS, SM_CLIENT_CERT_FILE=self.path(client))
        self.environment["PYTHONPATH"] = ";".join(
            self.path(folder) for folder in (self.engine.package, self.engine.dependencies)
        )
        subprocess.run(
            [self.lab / "bin" / "lab-clone", self.root / "prefix"], env=self._env({}), check=True, capture_output=True
        )
        (self.root / "prefix" / "drive_c" / "winlab-state").write_text(str(self.root / "state"), encoding="ascii")

        # Wine ends its own services with the last program, and each start of them takes a second: one stays.
        self.run("wine", "start", "/b", r"C:\Python311\python.exe", "-c", f"import time; time.sleep({LIFE_SECONDS})")

    def shut_down(self) -> None:
        """End every program of this Windows and delete it."""
        environment = {"WINEPREFIX": str(self.root / "prefix")}
        for option in ("-k", "-w"):
            subprocess.run(
                [WINE_SERVER, option], env=environment, check=False, capture_output=True, timeout=END_SECONDS
            )
        shutil.rmtree(self.root / "prefix", ignore_errors=True)

    def start(
        self,
        program: str,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program with pipes for its outputs; the test waits for it or ends it."""
        return subprocess.Popen(
            self.command(program, *arguments),
            cwd=self.folder,
            env=self._env(env or {}),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self,
        program: str,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        encoding: str = ANSI,
    ) -> Ended:
        """Run a program to its end. `env` is added to the environment; an empty value takes a variable away."""
        # Not pipes: Wine's own processes inherit them and keep them open for seconds after the program's end.
        with TemporaryFile() as out, TemporaryFile() as err:
            ended = subprocess.run(
                self.command(program, *arguments),
                cwd=self.folder,
                env=self._env(env or {}),
                input=stdin,
                stdout=out,
                stderr=err,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
            return Ended(ended.returncode, _text(out, encoding), _text(err, encoding))

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """The Linux command that runs a program of this Windows; to be run with `linux_environment`."""
        shown = [self.path(argument) if isinstance(argument, Path) else argument for argument in arguments]
        return [str(self.lab / "bin" / f"lab-{program}"), *shown]

    def linux_environment(self) -> dict[str, str]:
        """The environment that the lab's wrappers need for this Windows."""
        return self._env({})

    def kspsign(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """This tree's engine under Windows CPython."""
        return self.run("python", "-m", "kspsign", *arguments, env=env)

    def python(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """Windows CPython."""
        return self.run("python", *arguments, env=env)

    def node(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """Windows Node."""
        return self.run("node", *arguments, env=env, encoding="utf-8")

    def signtool(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """Microsoft's SignTool."""
        return self.run("signtool", *arguments, env=env)

    def smctl(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """The stand-in for DigiCert's smctl."""
        return self.run("smctl", *arguments, env=env)

    def certsync(self, alias: str) -> LabKey:
        """Bring a key pair's certificate into CurrentUser\\My by smctl."""
        ended = self.smctl("windows", "certsync", f"--keypair-alias={alias}")
        assert ended.exit_code == 0, ended.output
        return self.key(alias)

    def key(self, alias: str) -> LabKey:
        """What the key store has under `alias`."""
        folder = self.lab / "keys" / alias
        thumbprint = (folder / "thumbprint").read_text(encoding="ascii").strip()
        return LabKey(alias, thumbprint, folder / "cert.crt", folder / "chain.pem")

    def trust(self, certificate: Path) -> None:
        """Put a certificate (PEM or DER) into the machine's trusted roots."""
        ended = self.run("cert", "add", "system", "ROOT", certificate)
        assert ended.exit_code == 0, ended.output

    def fault(self, point: str, words: str) -> None:
        """What the next calls of `point` do; see the lab's README."""
        (self.root / "state" / "faults" / point).write_text(words, encoding="ascii")

    def calls(self, start: str = "") -> list[str]:
        """The calls of smctl, the KSP and the timestamp server so far that begin with `start`, without their time."""
        logs = sorted((self.root / "state").glob("calls*.log"))
        lines = (line.partition(" ") for log in logs for line in log.read_text(encoding="utf-8").splitlines())
        return [call for _, _, call in sorted(lines, key=itemgetter(0)) if call.startswith(start)]

    def program(self, name: str = "app.exe") -> Path:
        """A fresh, unsigned x64 program below the working folder; of another name, another content."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((self.lab / "win" / "lab" / "winrun.exe").read_bytes() + name.encode())
        return target

    def sign_elsewhere(self, alias: str, name: str) -> Path:
        """A program that was signed with a key of the key store on another machine, without timestamp."""
        source, target = self.lab / "win" / "lab" / "winrun.exe", self.folder / name
        key = f"pkcs11:token=winlab;object={alias};type=private;pin-value=1234"
        command = [
            "osslsigncode",
            "sign",
            "-pkcs11module",
            "/usr/lib/softhsm/libsofthsm2.so",
            "-key",
            key,
            "-h",
            "sha256",
        ]
        command += ["-certs", str(self.key(alias).chain), "-in", str(source), "-out", str(target)]
        with token_of(self.lab) as environment:
            subprocess.run(command, env=environment, check=True, capture_output=True)
        return target

    def path(self, path: Path) -> str:
        """A Linux path as Windows programs see it."""
        return str(PureWindowsPath("Z:", path.absolute()))

    def _env(self, more: Mapping[str, str]) -> dict[str, str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(Path.home()),
            "WINLAB_PREFIX": str(self.root / "prefix"),
            "WINLAB_STATE": str(self.root / "state"),
            **self.environment,
            **more,
        }
        return {name: value for name, value in environment.items() if value or name == "WINLAB_WINPATH"}


def _text(stream: IO[bytes], encoding: str) -> str:
    stream.seek(0)
    return stream.read().decode(encoding, "replace").replace("\r\n", "\n")
