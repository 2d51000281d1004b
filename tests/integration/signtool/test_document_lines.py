"""R11 to R16: the command lines of the document, typed as they are there, from an empty machine to "verified"."""

from __future__ import annotations

import shlex

from support.signtool.winlab import Winlab

PROVIDER = "DigiCert Signing Manager KSP"


def _typed(lab: Winlab, line: str) -> list[str]:
    """A command line of the document with the names that it leaves open, and the stand-in's timestamp server."""
    return shlex.split(line.replace("http://timestamp.digicert.com", lab.stamps.url))


def _verified(lab: Winlab, file: str) -> tuple[str, ...]:
    """R16: what the document promises of a file that verifies."""
    ran = lab.run(*_typed(lab, f"signtool verify /v /pa {file}"))
    assert (ran.code, ran.err) == (0, ())
    assert f"Successfully verified: {file}" in ran.out
    for promised in ("Signing Certificate Chain:", "The signature is timestamped: ", "Hash of file (sha256): "):
        assert any(line.startswith(promised) for line in ran.out)
    return ran.out


def test_method_1_by_certificate_file(lab: Winlab) -> None:
    """R11: no store, no certsync."""
    lab.program("app.exe")
    (lab.folder / "cert.crt").write_bytes(lab.pki.leaves["Contoso-Release"].pem)
    line = (
        f'signtool sign /csp "{PROVIDER}" /kc Contoso-Release /f cert.crt /tr http://timestamp.digicert.com '
        "/td SHA256 /fd SHA256 app.exe"
    )
    signed = lab.run(*_typed(lab, line))
    assert (signed.code, signed.err) == (0, ())
    assert signed.out == ("Done Adding Additional Store", "Successfully signed: app.exe")
    _verified(lab, "app.exe")
    assert lab.host.world.spent == 1


def test_method_2_by_thumbprint(lab: Winlab) -> None:
    """R12 to R15: certsync, then by thumbprint; the same digest is signed as by the certificate's file."""
    lab.program("app.exe")
    synchronised = lab.run(*_typed(lab, "smctl windows certsync --keypair-alias=Contoso-Release"))
    assert synchronised.code == 0, synchronised
    line = (
        f"signtool sign /sha1 {lab.thumbprint('Contoso-Release')} /tr http://timestamp.digicert.com /td SHA256 "
        "/fd SHA256 app.exe"
    )
    signed = lab.run(*_typed(lab, line))
    assert (signed.code, signed.err) == (0, ())
    assert signed.out[-1] == "Successfully signed: app.exe"
    by_thumbprint = [line for line in _verified(lab, "app.exe") if line.startswith("Hash of file")]
    (lab.folder / "cert.crt").write_bytes(lab.pki.leaves["Contoso-Release"].pem)
    lab.program("other.exe")
    chosen = ("/csp", PROVIDER, "/kc", "Contoso-Release", "/f", "cert.crt", "/fd", "SHA256")
    assert lab.signtool("sign", *chosen, "/tr", lab.stamps.url, "/td", "SHA256", "other.exe").code == 0
    assert [line for line in _verified(lab, "other.exe") if line.startswith("Hash of file")] == by_thumbprint


def test_a_changed_file_is_refused(lab: Winlab) -> None:
    """R16's twin: one byte later "Successfully verified" is not said."""
    path = lab.program("app.exe")
    lab.certsync("Contoso-Release")
    chosen = ("/sha1", lab.thumbprint("Contoso-Release"), "/fd", "SHA256", "/tr", lab.stamps.url, "/td", "SHA256")
    assert lab.signtool("sign", *chosen, "app.exe").code == 0
    content = bytearray(path.read_bytes())
    content[1500] ^= 1
    path.write_bytes(content)
    ran = lab.signtool("verify", "/v", "/pa", "app.exe")
    assert ran.code == 1
    assert not any(line.startswith("Successfully") for line in ran.out)
    assert ran.err[0] == "SignTool Error: WinVerifyTrust returned error: 0x80096010"
