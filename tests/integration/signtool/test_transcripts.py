"""Every transcript of Microsoft's SignTool, replayed: the same exit code and lines, but for named differences."""

from __future__ import annotations

import difflib
import fcntl
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from support.digicert_one import wire
from support.digicert_one.answers import Response
from support.digicert_one.server import Fault
from support.signtool.differences import DIFFERENCES
from support.signtool.transcripts import Transcript, comparable, transcripts
from support.signtool.winlab import Services, Winlab
from support.timestamping.server import Trouble

TRANSCRIPTS = {transcript.name: transcript for transcript in transcripts()}
NAVX = b"NAVX\x28\0\0\0\x02\0\0\0" + b"0" * 16 + bytes(8) + b"NAVX"
STAMPED_AT = datetime(2023, 6, 5, 21, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, lab_services: Services) -> Winlab:
    """One machine for all: what a transcript needs is made before its call."""
    return lab_services.machine(tmp_path_factory.mktemp("lab"))


MADE: dict[tuple[str, bool], bytes] = {}
"""Signed images, by certificate and whether they are stamped: what several transcripts begin with."""


def _signed(lab: Winlab, name: str, alias: str = "Contoso-Release", *, stamped: bool = True) -> None:
    path = lab.program(name)
    if (alias, stamped) not in MADE:
        stamp = ("/tr", lab.stamps.url, "/td", "SHA256") if stamped else ()
        lab.certsync(alias)
        assert lab.signtool("sign", "/fd", "SHA256", "/sha1", lab.thumbprint(alias), *stamp, name).code == 0
        MADE[alias, stamped] = path.read_bytes()
    path.write_bytes(MADE[alias, stamped])


def _tampered(lab: Winlab, name: str) -> None:
    _signed(lab, name)
    path = lab.folder / name
    content = bytearray(path.read_bytes())
    content[1500] ^= 0xFF
    path.write_bytes(content)


def _several(lab: Winlab) -> None:
    _signed(lab, "app.exe")
    lab.program("plain.exe")
    _tampered(lab, "tampered.exe")


def _all_names(lab: Winlab) -> None:
    lab.certsync(*lab.pki.leaves)
    lab.program("a2.exe")


def _twice_signed(lab: Winlab) -> None:
    _signed(lab, "a1.exe")
    chosen = ("/fd", "SHA384", "/sha1", lab.thumbprint("Contoso-Release"))
    assert lab.signtool("sign", "/as", *chosen, "a1.exe").code == 0


def _three(lab: Winlab) -> None:
    lab.program("a1.exe")
    lab.program("a2.exe")
    (lab.folder / "my.app").write_bytes(NAVX)


def _certificate_of_ec(lab: Winlab) -> None:
    lab.certsync("Contoso-EC")
    lab.program("ec.exe")


def _nothing(_lab: Winlab) -> None:
    """The programs that are there are enough."""


def _certificate(lab: Winlab) -> None:
    lab.program("m1.exe")
    (lab.folder / "cert.crt").write_bytes(lab.pki.leaves["Contoso-Release"].pem)


def _trouble(lab: Winlab, trouble: Trouble) -> None:
    lab.program("a2.exe")
    lab.troubles.extend([trouble] * 8)


def _refused_signature(lab: Winlab) -> None:
    lab.host.service.faults.append(
        Fault("POST", "/sign", Response(400, wire.error("hsm_not_ready", "HSM is not ready")))
    )


def _program(name: str) -> Callable[[Winlab], object]:
    return lambda lab: lab.program(name)


PREPARED: dict[str, Callable[[Winlab], object]] = {
    "sign-sha1": _program("app.exe"),
    "sign-sha1-before-certsync": _program("app.exe"),
    "verify": lambda lab: _signed(lab, "app.exe"),
    "verify-no-pa": lambda lab: _signed(lab, "app.exe"),
    **dict.fromkeys(
        (
            "sign-csp-kc-f",
            "sign-csp-wrong-case",
            "sign-csp-wrong-name",
            "sign-csp-other-cert",
            "sign-csp-no-credentials",
        ),
        _certificate,
    ),
    "verify-csp-kc-f": lambda lab: _signed(lab, "m1.exe"),
    "sign-empty-file": lambda lab: (lab.folder / "empty.exe").write_bytes(b""),
    "sign-broken-exe": lambda lab: (lab.folder / "short.exe").write_bytes(lab.program("whole.exe").read_bytes()[:300]),
    "sign-file-in-use": _program("busy.exe"),
    "sign-app-no-sip": lambda lab: (lab.folder / "my.app").write_bytes(NAVX),
    "verify-app-no-sip": lambda lab: (lab.folder / "my.app").write_bytes(NAVX),
    "sign-several-one-bad": _three,
    "sign-append": lambda lab: _signed(lab, "a1.exe"),
    "verify-all": _twice_signed,
    "timestamp": lambda lab: _signed(lab, "a2.exe"),
    "sign-name-several": _all_names,
    "sign-expired": _all_names,
    "sign-not-codesigning": _all_names,
    "sign-ec": _certificate_of_ec,
    "verify-ec": lambda lab: _signed(lab, "ec.exe", "Contoso-EC"),
    **dict.fromkeys(("sign-ksp-device-not-ready", "sign-ksp-internal-error"), _refused_signature),
    "sign-tsa-fail-503": lambda lab: _trouble(lab, Trouble(503)),
    "sign-tsa-garbage": lambda lab: _trouble(lab, Trouble(200)),
    "sign-tsa-reject": lambda lab: _trouble(lab, Trouble(403)),
    "sign-tsa-drop": lambda lab: _trouble(lab, Trouble(502)),
    "verify-unsigned": _program("plain.exe"),
    "verify-tampered": lambda lab: _tampered(lab, "tampered.exe"),
    "verify-untrusted-root": lambda lab: lab.presign("Contoso-SelfSigned", "selfsigned.exe"),
    "verify-root-now-trusted": lambda lab: lab.presign("Contoso-SelfSigned", "selfsigned.exe"),
    "verify-expired": lambda lab: lab.presign("Contoso-Expired", "expired.exe"),
    "verify-expired-but-stamped": lambda lab: lab.presign("Contoso-Expired", "stamped.exe", stamped=STAMPED_AT),
    "verify-not-codesigning": lambda lab: lab.presign("Contoso-Server", "server.exe"),
    "verify-no-root": lambda lab: _signed(lab, "app.exe"),
    "verify-several": _several,
    "sign-no-timestamp": _program("nostamp.exe"),
    "verify-tw": lambda lab: _signed(lab, "nostamp.exe", stamped=False),
    "node-python-signtool": lambda lab: _signed(lab, "app.exe"),
}
"""What is there before a call, besides certificate Contoso-Release in the store; else the program a2.exe or m1.exe."""
WITHOUT_KEY = {"sign-csp-no-credentials", "sign-sha1-no-credentials"}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_same_exit_code_and_lines(machine: Winlab, name: str) -> None:
    transcript = TRANSCRIPTS[name]
    for entry in (machine.store / "certificates").glob("*/*"):
        entry.unlink()
    machine.roots[:] = [machine.pki.root]
    if name != "sign-sha1-before-certsync":
        machine.certsync("Contoso-Release")
    for file in ("m1.exe", "a2.exe"):
        machine.program(file)
    PREPARED.get(name, _nothing)(machine)
    if name == "verify-root-now-trusted":
        machine.roots.append(machine.pki.leaves["Contoso-SelfSigned"])
    if name == "verify-no-root":
        machine.roots[:] = [machine.pki.leaves["Contoso-SelfSigned"]]
    thumbprints = {alias: machine.thumbprint(alias) for alias in machine.pki.leaves}
    changed = {"SM_API_KEY": None} if name in WITHOUT_KEY else {}
    busy = name == "sign-file-in-use"
    with (machine.folder / ("busy.exe" if busy else "m1.exe")).open("r+b") as held:
        if busy:
            fcntl.flock(held, fcntl.LOCK_EX)
        ran = machine.signtool(*transcript.typed(thumbprints, machine.stamps.url), **changed)
    machine.troubles.clear()
    named = machine.pki.named
    differing = _differences(transcript, comparable(ran.out, named), comparable(ran.err, named), ran.code)
    known = DIFFERENCES.get(name)
    if known is not None and known.lines is None:
        assert ran.code == transcript.code
        assert ran.err[0] == transcript.err[0]
    else:
        assert differing == (known.lines if known else ()), f"{ran}"


def _differences(transcript: Transcript, out: list[str], err: list[str], code: int) -> tuple[str, ...]:
    """What differs, line by line, SignTool's with `-` and kspsign's with `+`; the exit code last."""
    found = [
        line
        for theirs, ours in ((transcript.out, out), (transcript.err, err))
        for line in difflib.ndiff(list(theirs), ours)
        if line[0] in "-+"
    ]
    return (*found, *((f"exit code {transcript.code}, here {code}",) if transcript.code != code else ()))


def test_every_difference_is_one_of_a_transcript() -> None:
    assert set(DIFFERENCES) <= set(TRANSCRIPTS)
    assert set(PREPARED) <= set(TRANSCRIPTS)
    assert len(TRANSCRIPTS) == 55
