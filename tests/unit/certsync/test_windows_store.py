"""Which certificate of the Windows store signs, and the command lines that name it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.certificates.file import read_certificate_file
from kspsign.certsync import synchronise
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.windows.candidates import Candidate, candidates_of, choice, matching, near_miss, newest_candidate
from kspsign.keys.windows.certificate_store import StoreCertificate
from kspsign.keys.windows.options import WindowsOptions
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import SyncedCertificate
from kspsign.programs.locate import Tool
from kspsign.programs.run import tool_environment
from kspsign.settings.model import Settings
from kspsign.signing.tool_calls import first_on_path, sign_arguments, smctl_arguments, stamp_arguments

NOW = datetime(2026, 6, 1, tzinfo=UTC)
THUMBPRINT = "AB" * 20


def candidate(name: str | None, begins: int, ends: int, *, container: str | None = None, thumb: str = "") -> Candidate:
    """A certificate valid from `begins` to `ends` days from now."""
    return Candidate(
        thumbprint=thumb or f"{begins & 0xFF:02X}" * 20,
        der=b"",
        subject="CN=Contoso",
        not_before=NOW + timedelta(days=begins),
        not_after=NOW + timedelta(days=ends),
        friendly_name=name,
        provider="KSP" if container else None,
        container=container,
    )


def test_the_newest_candidate_one_with_a_key_is_taken() -> None:
    old, new = candidate("a", -300, 30, container="a"), candidate("a", -10, 20, container="a")
    keyless, expired, future = candidate("a", -5, 90), candidate("a", -99, -1, container="a"), candidate("a", 1, 99)
    assert newest_candidate([old, new, keyless, expired, future], NOW) is new
    assert newest_candidate([expired, future], NOW) is None


def test_alias_by_friendly_name_or_container_and_case_matters() -> None:
    by_name, by_container = candidate("Release", -1, 1), candidate("other", -2, 1, container="Release")
    options = WindowsOptions(keypair_alias="Release")
    assert matching([by_name, by_container, candidate("release", -3, 1)], options) == (by_name, by_container)
    by_thumbprint = WindowsOptions(keypair_alias="Release", thumbprint=by_container.thumbprint)
    assert matching([by_name, by_container], by_thumbprint) == (by_container,)


def test_of_two_certificates_the_run_says_which_signs_and_why() -> None:
    old, new = candidate("Release", -300, 30, container="a"), candidate("Release", -10, 400, container="b")
    keyless, other = candidate("Release", -5, 90), candidate("other", -1, 90, container="c")
    present, by_alias = [old, new, keyless, other], WindowsOptions(keypair_alias="Release")
    (remark,) = choice(new, present, by_alias, NOW).remarks
    used, _, rest = remark.partition("; not used: ")
    assert "Release has 3 certificates in the store My of the user" in used
    assert "the newest valid one with a private key is used" in used
    assert new.thumbprint in used
    assert old.thumbprint in rest
    assert f"{keyless.thumbprint} CN=Contoso" in rest
    assert "no private key" in rest
    assert other.thumbprint not in remark
    assert choice(new, [new, other], by_alias, NOW).remarks == ()
    named = choice(old, present, WindowsOptions(keypair_alias="Release", thumbprint=old.thumbprint), NOW)
    assert named.superseded
    assert f"{old.thumbprint} is superseded by {new.thumbprint}" in named.remarks[0]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("release", "Release"), (" Release", "Release"), ("Relase", "Release"), ("quite another", None)],
)
def test_a_near_miss_is_named(wanted: str, found: str | None) -> None:
    assert near_miss(wanted, [candidate("Release", -1, 1), candidate(None, -2, 1)]) == found


def test_unreadable_strangers_are_passed_over(authority: EmbeddedAuthority) -> None:
    ours = StoreCertificate(authority.signing_chain[0], "Release", "KSP", "Release")
    (found,) = candidates_of([StoreCertificate(b"\x30\x00", "odd", None, None), ours])
    assert (found.der, found.friendly_name) == (ours.der, "Release")


def test_a_certificate_file_with_or_without_its_chain(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    leaf, intermediate = authority.leaf.certificate, authority.intermediate.certificate
    pem = tmp_path / "chain.pem"
    pem.write_bytes(intermediate.public_bytes(Encoding.PEM) + leaf.public_bytes(Encoding.PEM))
    assert read_certificate_file(pem)[0] == authority.signing_chain[0]
    der = tmp_path / "leaf.crt"
    der.write_bytes(authority.signing_chain[0])
    assert read_certificate_file(der) == (authority.signing_chain[0], (leaf,))
    der.write_bytes(b"nothing of the kind")
    with pytest.raises(PrerequisiteError):
        read_certificate_file(der)
    with pytest.raises(PrerequisiteError):
        read_certificate_file(tmp_path / "missing.crt")


def test_method_1_is_kept_by_thumbprint(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    file = tmp_path / "leaf.crt"
    file.write_bytes(authority.signing_chain[0])
    options = WindowsOptions(keypair_alias="Release", certificate=file, csp="Some KSP")
    settings = Settings(key_store="windows", store_options=options, store=tmp_path)
    synced = synchronise(settings)
    assert synced.key_reference == {"certificate": str(file), "provider": "Some KSP", "container": "Release"}
    assert synchronise(Settings(thumbprint=synced.thumbprint, store=tmp_path)) == synced


def test_neither_alias_nor_thumbprint(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        synchronise(Settings(key_store="windows", store=tmp_path))


def synced(**reference: str) -> SyncedCertificate:
    """A certificate whose key is behind a KSP."""
    return SyncedCertificate(THUMBPRINT, (b"",), "Release", "windows", reference, test_signing=False)


BY_FILE = synced(certificate="C:\\c.crt", provider="KSP", container="Release")
BY_THUMBPRINT = synced(store="user", provider="KSP", container="Release")


def test_by_thumbprint_and_by_file_are_never_mixed() -> None:
    by_thumbprint = sign_arguments(Settings(), BY_THUMBPRINT, None)
    assert by_thumbprint == ["sign", "/v", "/debug", "/sha1", THUMBPRINT, "/s", "My", "/fd", "SHA256"]
    assert sign_arguments(Settings(), synced(store="system"), None)[3:8] == ["/sha1", THUMBPRINT, "/s", "My", "/sm"]
    by_file = sign_arguments(Settings(), BY_FILE, None)
    assert by_file[3:9] == ["/csp", "KSP", "/kc", "Release", "/f", "C:\\c.crt"]
    assert "/sha1" not in by_file


def test_digests_and_descriptions_are_stated() -> None:
    said = {"description": "Contoso App", "description_url": "https://c.example"}
    settings = Settings(digest="sha384", append=True, page_hashes=True, **said)
    arguments = sign_arguments(settings, BY_THUMBPRINT, "http://t")
    assert arguments[9:] == [
        *("/as", "/ph", "/d", "Contoso App", "/du", "https://c.example"),
        *("/tr", "http://t", "/td", "SHA384"),
    ]
    stamp = ["timestamp", "/v", "/debug", "/tr", "http://t", "/td", "SHA256"]
    assert stamp_arguments(Settings(), "http://t", 0) == stamp
    assert stamp_arguments(Settings(), "http://t", 2) == [*stamp, "/tp", "2"]


def test_smctl_finds_the_signtool_that_was_found_first(tmp_path: Path) -> None:
    tool = Tool(tmp_path / "signtool.exe", "", "x64")
    for variables in ({"Path": "elsewhere"}, {}):
        environment = tool_environment(first_on_path(Settings(agent_environment=variables), tool))
        (path,) = environment.values()
        assert path.split(os.pathsep)[0] == str(tmp_path)


def test_smctl_leaves_the_timestamp_to_signtool_unless_it_is_inline() -> None:
    separate = smctl_arguments(Settings(), "Release", "batch-1", stamped=False)
    assert separate == ["sign", "--keypair-alias=Release", "--input", "batch-1", "--timestamp=false"]
    assert "--timestamp=false" not in smctl_arguments(Settings(), "Release", "batch-1", stamped=True)
