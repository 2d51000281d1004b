"""R11 to R16: the command lines of the document, typed as they are there, from an empty machine to "verified"."""

from __future__ import annotations

import shlex

from support.signtool.winlab import Winlab

PROVIDER = "DigiCert Signing Manager KSP"


def _typed(lab: Winlab, line: str) -> list[str]:
    """A command line of the document with the names that it leaves open, and the stand-in's timestamp server."""
    return shlex.split(line.replace("http://timestamp.digicert.com", lab.stamps.url))


def test_method_1_by_certificate_file(lab: Winlab) -> None:
    """R11, R16."""
    lab.program("app.exe")
    (lab.folder / "cert.crt").write_bytes(lab.pki.leaves["Contoso-Release"].pem)
    line = f'signtool sign /csp "{PROVIDER}" /kc Contoso-Release /f cert.crt /tr http://timestamp.digicert.com /td SHA256 /fd SHA256 app.exe'
    signed = lab.run(*_typed(lab, line))
    assert (signed.code, signed.err) == (0, ())
    assert signed.out == ("Done Adding Additional Store", "Successfully signed: app.exe")
    verified = lab.run(*_typed(lab, "signtool verify /v /pa app.exe"))
    assert verified.code == 0, verified
    assert "Successfully verified: app.exe" in verified.out
    assert lab.host.world.spent == 1
