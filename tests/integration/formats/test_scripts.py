"""Scripts through the front door: signed, accepted by a peer where one knows them, refused when anything changes."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.authenticode.cms.read import read_signed_message
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.script import ScriptFile
from kspsign.embedded.authority import load_authority
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.values import DigestAlgorithm
from support.certificates import EXPIRED, PASSWORD, PASSWORD_VARIABLE, SigningFile, rsa_key, signing_file
from support.forging import signature
from support.formats.script_samples import POWERSHELL, SCRIPT_HOST, TEXTS, script
from support.samples import Run, Store, kspsign, osslsigncode_verify


@pytest.fixture(scope="session")
def signed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each kind of script in each encoding, signed and stamped in one run."""
    folder = tmp_path_factory.mktemp("scripts")
    for extension in TEXTS:
        for encoding in ("ascii", "utf-8-sig", "utf-16-le"):
            (folder / f"{encoding}.{extension}").write_bytes(script(extension, encoding))
    run = sign(folder, store, *(f"*.{suffix}" for suffix in TEXTS))
    assert (run.code, run.report["totals"]["signed"]) == (0, 3 * len(TEXTS)), run.text
    return folder


def sign(folder: Path, store: Store, *options: object) -> Run:
    patterns = [
        str(folder / option) if isinstance(option, str) and option.startswith("*") else option for option in options
    ]
    return kspsign("sign", *patterns, "--thumbprint", store.thumbprint, "--store", store.folder, folder=folder)


def verify(path: Path, root: Path, *options: str) -> Run:
    return kspsign("verify", path, "--trust-root", root, *options, folder=path.parent)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16-le"])
@pytest.mark.parametrize("extension", POWERSHELL)
def test_a_peer_accepts_what_we_sign(store: Store, signed: Path, extension: str, encoding: str) -> None:
    """R27, R28. The text before the block is untouched."""
    path = signed / f"{encoding}.{extension}"
    assert path.read_bytes().startswith(script(extension, encoding))
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text


@pytest.mark.parametrize("extension", SCRIPT_HOST)
def test_openssl_accepts_the_cms_of_scripts_that_no_peer_knows(
    store: Store, signed: Path, tmp_path: Path, extension: str
) -> None:
    """And it covers what SignTool signs: the text in UTF-16 and the place of the block, counted in 16-bit units."""
    path = signed / f"ascii.{extension}"
    lines = re.findall(
        rb"^(?:'' SIG '' |// SIG // |\*\* SIG \*\* )([A-Za-z0-9+/=]+)\r$", path.read_bytes(), re.MULTILINE
    )
    der = base64.b64decode(b"".join(lines))
    text = script(extension, "ascii").decode()
    place = text.index("</job>") if extension == "wsf" else len(text)
    content = read_signed_message(der).content
    assert hashlib.sha256(text.encode("utf-16-le") + struct.pack("<I", place)).digest() in content
    (tmp_path / "cms").write_bytes(der)
    (tmp_path / "content").write_bytes(content)
    files = ("-in", "cms", "-content", "content", "-CAfile", str(store.root))
    command = ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-purpose", "any", *files]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["utf-8-sig.ps1", "utf-16-le.ps1xml", "ascii.vbs", "utf-16-le.js", "utf-8-sig.wsf"])
def test_a_changed_byte_anywhere_is_found(store: Store, signed: Path, tmp_path: Path, name: str) -> None:
    data = (signed / name).read_bytes()
    twin = tmp_path / name
    width = 2 if name.startswith("utf-16") else 1
    marker = {"wsf": "<signature>"}.get(name.rpartition(".")[2], "Begin signature block")
    block = data.index(marker.encode("utf-16-le" if width == 2 else "ascii"))
    step = max(len(data) // 24, 1) // width * width or width
    for offset in (*range(3 * width, len(data), step), block, block - width, len(data) - 2 * width):
        at = offset - offset % 2 if width == 2 else offset
        twin.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        run = verify(twin, store.root)
        assert run.code == 2, (at, data[at - 10 : at + 10])


@pytest.mark.parametrize("appended", [b"calc\r\n", b"\r\n", b" "])
@pytest.mark.parametrize("extension", ["ps1", "ps1xml", "vbs", "js"])
def test_text_behind_the_block_is_found(
    store: Store, signed: Path, tmp_path: Path, extension: str, appended: bytes
) -> None:
    twin = tmp_path / f"x.{extension}"
    twin.write_bytes((signed / f"ascii.{extension}").read_bytes() + appended)
    failed = {check["name"] for check in verify(twin, store.root).file["verdict"]["checks"] if not check["ok"]}
    assert "trailing-text" in failed
    run = sign(tmp_path, store, twin, "--replace")
    assert (run.code, run.error_code) == (6, "ERROR_BAD_FORMAT")


def test_the_signature_of_another_script_and_of_another_kind(store: Store, signed: Path, tmp_path: Path) -> None:
    block = (signed / "ascii.psd1").read_bytes().removeprefix(script("psd1", "ascii"))
    (tmp_path / "x.ps1").write_bytes(b"Exit 1\r\n" + block)
    assert verify(tmp_path / "x.ps1", store.root).error_code == "TRUST_E_BAD_DIGEST"
    vbs = (signed / "ascii.vbs").read_bytes().replace(b"'' SIG ''", b"// SIG //")
    (tmp_path / "x.js").write_bytes(vbs)
    assert verify(tmp_path / "x.js", store.root).error_code == "TRUST_E_SUBJECT_FORM_UNKNOWN"


def test_a_block_moved_within_the_file_is_found(store: Store, signed: Path, tmp_path: Path) -> None:
    """Script Host's kinds sign the place of the block."""
    data = (signed / "ascii.wsf").read_bytes()
    block = data[data.index(b"\r\n<signature>") : data.index(b"</job>")]
    (tmp_path / "x.wsf").write_bytes(data.replace(block, b"").replace(b"</script>\r\n", b"</script>" + block + b"\r\n"))
    assert verify(tmp_path / "x.wsf", store.root).error_code == "TRUST_E_BAD_DIGEST"


def test_line_ends_that_git_changed_are_named(store: Store, signed: Path, tmp_path: Path) -> None:
    (tmp_path / "x.ps1").write_bytes((signed / "ascii.ps1").read_bytes().replace(b"\r\n", b"\n"))
    checks = {check["name"]: check for check in verify(tmp_path / "x.ps1", store.root).file["verdict"]["checks"]}
    assert not checks["signature-block"]["ok"]
    assert "git" in checks["signature-block"]["detail"]


@pytest.mark.parametrize(
    ("data", "advice"),
    [(b"Exit 0\n", "CRLF"), ("'Größe'\r\n".encode(), "UTF-8 with BOM"), (script("ps1", "utf-16-be"), "UTF-8 with BOM")],
    ids=["LF", "no byte order mark", "UTF-16 BE"],
)
def test_a_refused_script_keeps_its_bytes_and_costs_no_signature(
    store: Store, tmp_path: Path, data: bytes, advice: str
) -> None:
    path = tmp_path / "x.ps1"
    path.write_bytes(data)
    run = sign(tmp_path, store, path)
    assert (run.code, run.error_code, run.report["totals"]["signatures_used"]) == (6, "ERROR_BAD_FORMAT", 0)
    assert advice in run.text
    assert path.read_bytes() == data


@pytest.fixture
def publisher(tmp_path: Path, authority_root: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    return _publisher(tmp_path, authority_root, monkeypatch)


def _publisher(folder: Path, authority_root: Path, monkeypatch: pytest.MonkeyPatch, **wrong: object) -> SigningFile:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(folder, **wrong)  # type: ignore[arg-type]  # the caller's keywords are signing_file's
    file.root.write_bytes(file.root.read_bytes() + authority_root.read_bytes())
    return file


@pytest.mark.parametrize("extension", ["ps1", "psd1", "ps1xml", "mof"])
def test_we_accept_what_a_peer_signed(
    tmp_path: Path, publisher: SigningFile, timestamp_server: TimestampServer, extension: str
) -> None:
    unsigned, path = tmp_path / f"u.{extension}", tmp_path / f"x.{extension}"
    unsigned.write_bytes(script(extension, "utf-8-sig"))
    command = ["osslsigncode", "sign", "-pkcs12", str(publisher.path), "-pass", PASSWORD, "-ts", timestamp_server.url]
    subprocess.run([*command, "-in", str(unsigned), "-out", str(path)], check=True, capture_output=True)
    run = verify(path, publisher.root)
    assert (run.code, run.file["format"]) == (0, "powershell-xml" if "xml" in extension else "powershell"), run.text


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (2048, "sha256"),
        (3072, "sha384"),
        (4096, "sha512"),
        (ec.SECP256R1(), "sha256"),
        (ec.SECP384R1(), "sha384"),
        (ec.SECP521R1(), "sha512"),
    ],
    ids=["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521"],
)
def test_keys_and_digests(
    tmp_path: Path,
    authority_root: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
    key: int | ec.EllipticCurve,
    algorithm: str,
) -> None:
    made = rsa_key(key) if isinstance(key, int) else ec.generate_private_key(key)
    publisher = _publisher(tmp_path, authority_root, monkeypatch, key=made)
    for extension in ("ps1", "js"):
        path = tmp_path / f"x.{extension}"
        path.write_bytes(script(extension, "utf-16-le"))
        options = (*publisher.options, "--timestamp-url", timestamp_server.url, "--digest", algorithm)
        run = kspsign("sign", path, *options, folder=tmp_path)
        assert (run.code, run.file["signatures"][0]["digest"]) == (0, algorithm), run.text
    assert osslsigncode_verify(tmp_path / "x.ps1", publisher.root).accepted


@pytest.mark.parametrize("extension", ["ps1", "cdxml", "vbs", "js", "wsf"])
def test_a_second_signature_a_replaced_one_and_a_later_timestamp(
    store: Store,
    tmp_path: Path,
    publisher: SigningFile,
    authority_root: Path,
    timestamp_server: TimestampServer,
    extension: str,
) -> None:
    path = tmp_path / f"x.{extension}"
    path.write_bytes(script(extension, "utf-16-le"))
    assert sign(tmp_path, store, path, "--no-timestamp").code == 0
    roots = ("--trust-root", str(store.root), "--trust-root", str(authority_root))
    stamp = ("--timestamp-url", timestamp_server.url)
    assert kspsign("timestamp", path, *roots, *stamp, folder=tmp_path).file["outcome"] == "signed"
    assert sign(tmp_path, store, path, *roots).file["outcome"] == "skipped"
    appended = kspsign(
        "sign", path, *publisher.options, *roots, *stamp, "--append", "--digest", "sha384", folder=tmp_path
    )
    assert appended.code == 0, appended.text
    assert [signature["digest"] for signature in appended.file["signatures"]] == ["sha256", "sha384"]
    assert all(signature["timestamp"] for signature in appended.file["signatures"])
    assert {"digest", "digest#2", "sip", "sip#2"} <= {check["name"] for check in appended.file["verdict"]["checks"]}
    replaced = sign(tmp_path, store, path, "--replace")
    assert (replaced.code, len(replaced.file["signatures"])) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"end": EXPIRED}, "CERT_E_EXPIRED"),
        ({"code_signing": False}, "CERT_E_WRONG_USAGE"),
        ({}, "CERT_E_UNTRUSTEDROOT"),
    ],
    ids=["expired", "wrong EKU", "wrong root"],
)
def test_a_certificate_that_may_not_sign(
    store: Store,
    tmp_path: Path,
    authority_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, object],
    code: str,
) -> None:
    """The peer signs with anything; the verdict names what is wrong."""
    publisher = _publisher(tmp_path, authority_root, monkeypatch, **wrong)
    (tmp_path / "u.ps1").write_bytes(script("ps1"))
    command = ["osslsigncode", "sign", "-pkcs12", str(publisher.path), "-pass", PASSWORD]
    subprocess.run([*command, "-in", "u.ps1", "-out", "x.ps1"], check=True, capture_output=True, cwd=tmp_path)
    root = publisher.root if wrong else store.root
    assert verify(tmp_path / "x.ps1", root, "--no-timestamp").error_code == code
    if not wrong:
        assert verify(tmp_path / "x.ps1", publisher.root).error_code == "TRUST_E_TIME_STAMP"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16-le"])
@pytest.mark.parametrize("extension", TEXTS)
def test_line_ends_that_git_changed_are_the_first_cause(
    store: Store, signed: Path, tmp_path: Path, extension: str, encoding: str
) -> None:
    """Signed with CRLF, checked in with LF; with CRLF again the signature holds. A twin whose text was changed too is
    not said to be of other line ends."""
    path = tmp_path / f"script.{extension}"
    codec = "utf-16-le" if encoding == "utf-16-le" else "latin-1"
    text = (signed / f"{encoding}.{extension}").read_bytes().decode(codec)
    path.write_bytes(text.replace("\r\n", "\n").encode(codec))
    run = verify(path, store.root)
    assert (run.code, run.error_code) == (2, "TRUST_E_BAD_DIGEST")
    error = run.file["error"]
    assert "(line-ends: the line ends were changed" in error["message"]
    assert "with CRLF throughout" in error["message"]
    assert "Sign" not in error["remedy"]
    path.write_bytes(text.replace("\r\n", "\n").replace("\n", "\r\n").encode(codec))
    assert verify(path, store.root).code == 0
    middle = text.index("\r\n") - 1
    path.write_bytes((text[:middle] + "~" + text[middle:]).replace("\r\n", "\n").encode(codec))
    run = verify(path, store.root)
    assert (run.code, run.error_code) == (2, "TRUST_E_BAD_DIGEST")
    assert "(digest: " in run.file["error"]["message"]


@pytest.mark.parametrize("extension", TEXTS)
def test_line_ends_turned_to_cr_alone_are_the_first_cause(
    store: Store, signed: Path, tmp_path: Path, extension: str
) -> None:
    path = tmp_path / f"script.{extension}"
    path.write_bytes((signed / f"utf-8-sig.{extension}").read_bytes().replace(b"\r\n", b"\r"))
    error = verify(path, store.root).file["error"]
    assert "(line-ends: the line ends were changed" in error["message"]
    assert "with CRLF throughout" in error["message"]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"], ids=["as signed", "turned to LF"])
@pytest.mark.parametrize(("encoding", "change"), [("ascii", "added"), ("utf-8-sig", "removed")])
@pytest.mark.parametrize("extension", ["ps1", "psm1", "ps1xml"])
def test_a_byte_order_mark_that_an_editor_changed_is_the_first_cause(
    store: Store, signed: Path, tmp_path: Path, extension: str, encoding: str, change: str, line_end: bytes
) -> None:
    """With the mark as it was, the signature holds again. A twin whose text was changed too is not said to be that."""
    path, mark = tmp_path / f"script.{extension}", b"\xef\xbb\xbf"
    before = (signed / f"{encoding}.{extension}").read_bytes()
    other = mark + before if change == "added" else before.removeprefix(mark)
    path.write_bytes(other.replace(b"\r\n", line_end))
    run = verify(path, store.root)
    assert (run.code, run.error_code) == (2, "TRUST_E_BAD_DIGEST")
    checks = {check["name"]: check for check in run.file["verdict"]["checks"]}
    assert f"the byte order mark (UTF-8) was {change}" in checks["byte-order-mark"]["detail"]
    assert ("line-ends" in checks) == (line_end == b"\n")
    first = "line-ends" if line_end == b"\n" else "byte-order-mark"
    assert f"({first}: " in run.file["error"]["message"]
    middle = other.index(b"\r\n")
    path.write_bytes(other[:middle] + b"~" + other[middle:])
    assert "byte-order-mark" not in {check["name"] for check in verify(path, store.root).file["verdict"]["checks"]}


@pytest.mark.parametrize("extension", ["ps1", "psd1", "ps1xml"])
def test_a_signed_script_saved_as_utf_16_be(store: Store, signed: Path, tmp_path: Path, extension: str) -> None:
    """The text and its digest are the same; PowerShell's SIP does not read them in this encoding."""
    path = tmp_path / f"script.{extension}"
    text = (signed / f"utf-8-sig.{extension}").read_bytes().decode("utf-8-sig")
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    assert verify(path, store.root).code == 0
    path.write_bytes(b"\xfe\xff" + text.encode("utf-16-be"))
    run = verify(path, store.root)
    assert "(encoding: UTF-16 BE" in run.file["error"]["message"]


def test_line_ends_turned_to_crlf_after_another_signed_with_lf(store: Store, tmp_path: Path) -> None:
    """PowerShell's own cmdlet signs text that ends in LF; git's autocrlf turns it on check-out."""
    path = tmp_path / "script.ps1"
    path.write_bytes(b"Exit 0\nExit 1\n")
    file = ScriptFile.open(Snapshot(path))
    digest = file.digest([DigestAlgorithm.SHA256])
    authority = load_authority(store.folder / "embedded")
    content = file.content(SigningTerms(DigestAlgorithm.SHA256, authority.signing_chain), digest)
    made = signature(file, content, authority.signing_chain, authority.leaf.key)
    with path.open("wb") as out:
        file.embed(digest, (made,), out)
    before = path.read_bytes()
    assert verify(path, store.root, "--no-timestamp").code == 0
    path.write_bytes(before.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    run = verify(path, store.root, "--no-timestamp")
    assert "(line-ends: " in run.file["error"]["message"]
    assert "with LF throughout" in run.file["error"]["message"]
    path.write_bytes(before.replace(b"\r\n", b"\n"))
    run = verify(path, store.root, "--no-timestamp")
    assert (run.error_code, "line ends" in run.file["error"]["message"]) == ("TRUST_E_MALFORMED_SIGNATURE", True)
    assert "signature holds again" in run.file["error"]["remedy"]
