"""What `signtool verify`, `timestamp` and `remove` say beyond the transcripts, and response files."""

from __future__ import annotations

import pytest

from support.signtool.winlab import Winlab

RELEASE = "Contoso-Release"
GENERIC = "{00AAC56B-CD44-11d0-8CC2-00C04FC295EE}"
SHA1 = "0" * 40


@pytest.fixture
def signed(lab: Winlab) -> Winlab:
    """A machine with app.exe, signed twice and stamped once."""
    lab.program("app.exe")
    lab.certsync(RELEASE)
    chosen = ("/sha1", lab.thumbprint(RELEASE), "/fd", "SHA256", "/d", "Contoso App", "/du", "https://contoso.example")
    assert lab.signtool("sign", *chosen, "/tr", lab.stamps.url, "/td", "SHA256", "app.exe").code == 0
    assert lab.signtool("sign", "/as", *chosen[:-4], "app.exe").code == 0
    return lab


def test_requirements_that_are_met_and_not(signed: Winlab) -> None:
    own, code_ca = signed.thumbprint(RELEASE), next(name for name, of in signed.pki.named.items() if of == "code-ca")
    for met in (
        ("/pa", "/sha1", SHA1, "/sha1", own.lower()),
        ("/pa", "/r", "winlab root"),
        ("/pa", "/ca", code_ca),
        ("/pg", GENERIC),
        ("/pa", "/a", "/ms"),
        ("/pa", "/u", "Code Signing", "/u", "1.3.6.1.5.5.7.3.3"),
        ("/pa", "/ds", "1"),
    ):
        assert signed.signtool("verify", *met, "app.exe").code == 0, met
    for broken, said in (
        (("/pa", "/sha1", SHA1), "The signing certificate does not have a specified SHA1 hash."),
        (("/pa", "/r", "Other Root"), "Signing Cert does not chain to the specified Root Cert."),
        (("/pa", "/ca", own), "No intermediate CA with a specified thumbprint was found."),
        (("/pa", "/ds", "2"), "Invalid index specified."),
        (("/pa", "/ds", "x"), "Invalid index specified."),
        (("/pg", "{1}"), "Invalid GUID format: {1}"),
        (("/pa", "/sha1", "1"), "Invalid SHA1 hash format: 1"),
        (
            ("/pg", "{6078065B-8F22-4B13-BD9B-5B762776F386}"),
            "This version of signtool does not support the /pg functionality.",
        ),
        ((), "A certificate chain processed, but terminated in a root"),
    ):
        ran = signed.signtool("verify", *broken, "app.exe")
        assert (ran.code, ran.err[0]) == (1, f"SignTool Error: {said}")
        assert not any(line.startswith("Successfully") for line in ran.out)


def test_warnings_give_exit_code_2(signed: Winlab) -> None:
    for options, said in (
        (("/all", "/tw"), "File is not timestamped: app.exe"),
        (("/u", "1.2.3"), "The signer does not possess the specified EKUs."),
        (("/ph",), "No page hashes are present."),
    ):
        ran = signed.signtool("verify", "/pa", *options, "app.exe")
        assert (ran.code, ran.err) == (2, (f"SignTool Warning: {said}",))
        assert "Successfully verified: app.exe" in ran.out
        assert ran.out[-1] == "Number of warnings: 1"


def test_page_hashes_are_signed_and_found(lab: Winlab) -> None:
    lab.program("app.exe")
    lab.certsync(RELEASE)
    assert lab.signtool("sign", "/ph", "/fd", "SHA256", "/sha1", lab.thumbprint(RELEASE), "app.exe").code == 0
    assert lab.signtool("verify", "/pa", "/ph", "app.exe").code == 0


def test_descriptions_are_shown(signed: Winlab) -> None:
    ran = signed.signtool("verify", "/pa", "/v", "/d", "app.exe")
    assert "Description:     Contoso App" in ran.out
    assert "Description URL: https://contoso.example" in ran.out


def test_quiet_says_nothing_of_success(signed: Winlab) -> None:
    ran = signed.signtool("verify", "/q", "/pa", "app.exe", "missing.exe")
    assert (ran.code, ran.out, ran.err) == (1, (), ("SignTool Error: File not found: missing.exe",))
    assert signed.signtool("verify", "/q", "/pa", "app.exe").out == ()


def test_every_signature_counts_whichever_is_shown(signed: Winlab) -> None:
    """SignTool would verify the first alone: a broken second one is no success here."""
    path = signed.folder / "app.exe"
    content = bytearray(path.read_bytes())
    second = content.rfind(b"Contoso Ltd")
    content[second - 300] ^= 0xFF
    path.write_bytes(content)
    ran = signed.signtool("verify", "/pa", "app.exe")
    assert ran.code == 1
    assert not any(line.startswith("Successfully") for line in ran.out)


def test_timestamps_later(lab: Winlab) -> None:
    lab.certsync(RELEASE)
    lab.program("app.exe")
    lab.program("plain.exe")
    assert lab.signtool("sign", "/fd", "SHA256", "/sha1", lab.thumbprint(RELEASE), "app.exe").code == 0
    stamp = ("/tr", lab.stamps.url, "/td", "SHA256")
    ran = lab.signtool("timestamp", "/v", *stamp, "app.exe", "plain.exe")
    assert ran.code == 1
    assert ran.out == (
        "Successfully timestamped: app.exe", "", "Number of files successfully timestamped: 1",
        "Number of warnings: 0", "Number of errors: 1",
    )  # fmt: skip
    assert ran.err[:2] == (
        "SignTool Error: No signature was found. The file must be signed before it can",
        "\tbe timestamped.",
    )
    assert ran.err[-1] == "SignTool Error: An error occurred while attempting to timestamp: plain.exe"
    assert lab.signtool("verify", "/pa", "/tw", "app.exe").code == 0
    for wrong, said in (
        (("/t", "http://x/"), "Specify the RFC 3161 timestamp server's URL instead with /tr."),
        ((), "The /tr option is required."),
        ((*stamp, "/tp", "x"), "Invalid index selected for timestamping."),
    ):
        assert lab.signtool("timestamp", *wrong, "app.exe").err[0] == f"SignTool Error: {said}"


def test_remove_in_signtool_s_words(signed: Winlab) -> None:
    signed.program("plain.exe")
    (signed.folder / "read.me").write_bytes(b"text")
    ran = signed.signtool("remove", "/s", "/v", "app.exe", "plain.exe", "read.me")
    assert ran.code == 1
    assert "Removing signature on file: app.exe" in ran.out
    assert "Successfully committed changes to the file: app.exe" in ran.out
    assert "Number of files successfully processed: 1" in ran.out
    assert [line for line in ran.err if line.startswith("SignTool Error")] == [
        "SignTool Error: CryptSIPRemoveSignedDataMsg returned error: 0x00000057",
        "SignTool Error: Unsupported file type: read.me",
    ]
    assert signed.signtool("verify", "/pa", "app.exe").err[0] == "SignTool Error: No signature found."
    for wrong in ((), ("/s", "/c")):
        assert signed.signtool("remove", *wrong, "app.exe").code == 1


def test_no_name_makes_a_line_of_its_own(signed: Winlab) -> None:
    """Names of files and programs, and arguments, may hold line breaks and commands of an agent."""
    forged = "a\nSuccessfully verified: b.exe ##vso[task.complete result=Succeeded]"
    (signed.folder / forged.replace("/", "")).write_bytes(b"MZ")
    signed.program("app.exe")
    chosen = ("/sha1", signed.thumbprint(RELEASE), "/fd", "SHA256", "/d", forged)
    assert signed.signtool("sign", *chosen, "app.exe").code == 0
    for arguments in (
        ("verify", "/pa", forged),
        ("verify", "/pa", f"{forged}?"),
        ("verify", "/v", "/d", "app.exe"),
        ("verify", f"/{forged}"),
        (forged,),
        ("sign", "/fd", "SHA256", "/sha1", forged, "app.exe"),
        ("sign", "/fd", "SHA256", "/s", forged, "app.exe"),
        ("sign", "/fd", "SHA256", "/f", forged, "app.exe"),
        ("remove", "/s", forged),
        (f"@{forged}",),
    ):
        ran = signed.signtool(*arguments)
        assert ran.code == 1
        assert not [line for line in (*ran.out, *ran.err) if line.startswith("Successfully") or "##vso[" in line]


def test_a_call_without_arguments_says_so_as_signtool_does(lab: Winlab) -> None:
    """Scripts tell by this line whether SignTool is installed."""
    ran = lab.signtool()
    assert (ran.code, ran.err[0]) == (1, "SignTool Error: A required parameter is missing.")
    asked = lab.signtool("/?")
    assert (asked.code, asked.err[0].split(":")[0]) == (0, "Usage")


def test_a_response_file_runs_its_commands(lab: Winlab) -> None:
    lab.certsync(RELEASE)
    lab.program("my app.exe")
    listing = lab.folder / "calls.rsp"
    lines = ["sign", "/fd SHA256", f"/sha1 {lab.thumbprint(RELEASE)}", "my app.exe", "", "verify", "/pa", "my app.exe"]
    listing.write_text("\r\n".join(lines))
    ran = lab.signtool("@calls.rsp")
    assert (ran.code, ran.err) == (0, ())
    assert [line for line in ran.out if line.startswith("Successfully")] == [
        "Successfully signed: my app.exe", "Successfully verified: my app.exe",
    ]  # fmt: skip
    listing.write_text("\r\n".join([*lines, "", "verify", "/pa", "missing.exe"]))
    assert lab.signtool("@calls.rsp").code == 1


def test_a_catalogue_proves_files_that_carry_no_signature(lab: Winlab) -> None:
    lab.program("app.exe")
    (lab.folder / "setup.inf").write_text("[Version]\n")
    lab.certsync(RELEASE)
    created = lab.run(
        "catalog", "app.exe", "setup.inf", "-o", "x.cat", "--thumbprint", lab.thumbprint(RELEASE), "--store",
        str(lab.store), "--timestamp-url", lab.stamps.url, "--trust-root", str(lab.config().with_name("roots.pem")),
    )  # fmt: skip
    assert created.code == 0, created

    ran = lab.signtool("verify", "/v", "/pa", "/c", "x.cat", "/hash", "SHA256", "app.exe", "setup.inf")
    assert ran.code == 0, ran
    assert [line for line in ran.out if line.startswith(("File is", "Successfully"))] == [
        "File is signed in catalog: x.cat",
        "Successfully verified: app.exe",
        "File is signed in catalog: x.cat",
        "Successfully verified: setup.inf",
    ]
    assert "Number of files successfully Verified: 2" in ran.out
    assert any("Issued to: Contoso Ltd" in line for line in ran.out)

    (lab.folder / "setup.inf").write_text("[version]\n")
    twin = lab.signtool("verify", "/pa", "/c", "x.cat", "app.exe", "setup.inf")
    assert twin.code == 1
    assert [line for line in twin.out if line.startswith("Successfully")] == ["Successfully verified: app.exe"]
    assert any("not in the catalogue" in line for line in twin.err), twin.err

    for options, said in (
        (("/hash", "SHA256"), "The /hash option requires the /c option."),
        (("/c", "x.cat", "/hash", "MD5"), "Invalid hash algorithm: MD5"),
    ):
        refused = lab.signtool("verify", "/pa", *options, "app.exe")
        assert (refused.code, refused.err[0]) == (1, f"SignTool Error: {said}")
    missing = lab.signtool("verify", "/pa", "/c", "y.cat", "app.exe")
    assert missing.code == 1
    assert any("y.cat" in line for line in missing.err), missing.err
