"""Where benchmarks work: fresh small images, an embedded authority, and the command lines of kspsign and its peer."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import KSPSIGN, Taken, run
from support.formats.peimages import build_pe


@dataclass(frozen=True)
class Place:
    """A folder with an embedded authority, small images to copy, and what signs them."""

    folder: Path
    thumbprint: str

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def fresh(self, count: int) -> None:
        """`count` unsigned images in the work folder, all different; nothing in the folder of results."""
        for folder in (self.work, self.out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        image = build_pe()
        for number in range(count):
            (self.work / f"{number:05}.dll").write_bytes(image + number.to_bytes(8, "little"))

    def ours(self, *options: str, command: str = "sign") -> list[str]:
        """kspsign over the work folder with the local key."""
        chosen = ["--thumbprint", self.thumbprint, "--store", str(self.store)] if command == "sign" else []
        report = ["--report", str(self.folder / "report.json")]
        return [*KSPSIGN, command, str(self.work), *chosen, *options, *report, "--quiet"]

    def peer(self, *options: str) -> str:
        """osslsigncode for one file of the work folder, as a line of shell with {} for its name."""
        chain = self.store / "certificates" / self.thumbprint / "chain.pem"
        key = self.store / "embedded" / "leaf.key"
        sign = ["osslsigncode", "sign", "-certs", str(chain), "-key", str(key), "-h", "sha256", *options]
        return f"{shlex.join(sign)} -in {self.work}/{{}} -out {self.out}/{{}}"

    def loop(self, line: str) -> Taken:
        """The peer, one file after the other."""
        return run(["bash", "-ec", f"for name in $(ls {self.work}); do {line.replace('{}', '$name')}; done"])

    def side_by_side(self, line: str, processes: int = 8) -> Taken:
        """The peer, so many at a time."""
        return run(["bash", "-ec", f"ls {self.work} | xargs -P{processes} -I{{}} {line}"])


def open_place(folder: Path) -> Place:
    """A fresh place in `folder`."""
    store = folder / "store"
    run([*KSPSIGN, "certsync", "--key-store", "embedded", "--store", str(store)])
    thumbprint = next((store / "certificates").iterdir()).name
    chain = (store / "certificates" / thumbprint / "chain.pem").read_text(encoding="ascii")
    (folder / "root.pem").write_text("-----BEGIN" + chain.rpartition("-----BEGIN")[2], encoding="ascii")
    return Place(folder, thumbprint)
