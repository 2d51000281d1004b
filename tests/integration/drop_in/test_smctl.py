"""smctl's command lines, typed as they are in scripts: R6, R12, R13, R31; words as in the lab's transcripts."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kspsign.certsync import read_entry
from support.digicert_one import wire
from support.digicert_one.answers import Response
from support.digicert_one.server import Fault
from support.drop_in import ALIAS, BuildAgent
from support.formats.peimages import build_pe
from support.pki import new_key
from support.places import TRANSCRIPTS
from support.samples import assert_no_leftovers, copy_launcher

SUCCESS = re.compile(r"^signCommand command for file (.+) was SUCCESSFUL$", re.MULTILINE)
FAILURE = re.compile(r"^signCommand command for file (.+) FAILED$", re.MULTILINE)


def transcript(name: str) -> tuple[list[str], int]:
    """The arguments and the exit code of a recorded call."""
    text = next(TRANSCRIPTS.glob(f"[0-9][0-9]-{name}.txt")).read_text(encoding="utf-8")
    command = re.search(r"^\$ lab-smctl (.+)$", text, re.MULTILINE)
    code = re.search(r"^--- exit code (\d+)$", text, re.MULTILINE)
    assert command is not None
    assert code is not None
    return command[1].split(), int(code[1])


def tree(folder: Path) -> list[Path]:
    """Two images in a folder and one below it."""
    (folder / "tree" / "sub").mkdir(parents=True)
    paths = [folder / "tree" / "one.exe", folder / "tree" / "sub" / "two.dll"]
    for number, path in enumerate(paths):
        path.write_bytes(build_pe(overlay=f"file {number}".encode()))
    return paths


def test_certsync_verbatim_then_a_folder_by_alias_and_a_file_by_thumbprint(agent: BuildAgent) -> None:
    """R12, R13 and R31 from an empty store; another program accepts what was signed and refuses a changed twin."""
    synced = agent.type("smctl", "windows", "certsync", f"--keypair-alias={ALIAS}")
    assert (synced.code, synced.err) == (0, "")
    assert f"Synced certificate for keypair alias: {ALIAS}, store: kspsign\n" in synced.out
    found = re.search(r"^Thumbprint: ([0-9A-F]{40})$", synced.out, re.MULTILINE)
    assert found is not None
    assert read_entry(agent.store, found[1]).alias == ALIAS

    paths, spent = tree(agent.folder), agent.host.world.spent
    signed = agent.type("smctl", "sign", "--keypair-alias", ALIAS, "--input", "tree")
    assert (signed.code, signed.err) == (0, "")
    assert sorted(SUCCESS.findall(signed.out)) == ["tree/one.exe", "tree/sub/two.dll"]
    assert agent.host.world.spent == spent + 2
    assert all(agent.peer(path).accepted for path in paths)

    single = copy_launcher(agent.folder)
    signed = agent.type("smctl", "sign", "--fingerprint", found[1].lower(), "-i", "*.exe", "-v", "--simple")
    assert (signed.code, SUCCESS.findall(signed.out)) == (0, [single.name])
    assert agent.peer(single).accepted
    twin = single.with_name("twin.exe")
    twin.write_bytes(single.read_bytes().replace(b"This program", b"That program"))
    assert not agent.peer(twin).accepted


def test_a_signature_that_is_there_is_replaced_but_for_unsigned(agent: BuildAgent) -> None:
    """As smctl does it; --unsigned spends nothing on signed files."""
    paths, world = tree(agent.folder), agent.host.world
    assert agent.type("smctl", "sign", ALIAS, "--input", "tree/one.exe").code == 0
    spent = world.spent
    again = agent.type("smctl", "sign", "--keypair-alias", ALIAS, "--input=tree", "--unsigned")
    assert (again.code, world.spent) == (0, spent + 1)
    assert "File tree/one.exe is signed already" in again.out
    assert SUCCESS.findall(again.out) == ["tree/sub/two.dll"]
    assert agent.type("smctl", "sign", "--keypair-alias", ALIAS, "--input", "tree/one.exe", "-d", "SHA-384").code == 0
    assert world.spent == spent + 2
    assert "sha384" in agent.peer(paths[0]).text.lower()


def test_one_bad_file_fails_the_call_and_no_other_file(agent: BuildAgent) -> None:
    """smctl would exit with 0: https://github.com/lmstudio-ai/lmstudio-js/pull/30."""
    paths = tree(agent.folder)
    broken = agent.folder / "tree" / "broken.exe"
    broken.write_bytes(paths[0].read_bytes()[:200])
    signed = agent.type("smctl", "sign", "--keypair-alias", ALIAS, "--input", "tree")
    assert signed.code == 1
    assert FAILURE.findall(signed.out) == ["tree/broken.exe"]
    assert len(SUCCESS.findall(signed.out)) == 2
    assert signed.out.endswith("Signing FAILED\n")
    assert "remedy:" in signed.err
    assert_no_leftovers(agent.folder)


@pytest.mark.parametrize(
    "name",
    [
        *("smctl-healthcheck", "smctl-healthcheck-no-key", "smctl-keypair-ls", "smctl-ksp-list", "certsync"),
        *("certsync-wrong-password", "certsync-wrong-key", "certsync-wrong-case", "certsync-503"),
        *("smctl-sign-folder", "smctl-sign-fails-exit-0", "smctl-sign-fails-exit-1"),
    ],
)
def test_a_recorded_call_has_the_recorded_exit_code(agent: BuildAgent, name: str) -> None:
    """But for the one of smctl that is wrong: a failure is never 0."""
    arguments, code = transcript(name)
    tree(agent.folder)
    environment = agent.environment
    if name == "smctl-healthcheck-no-key":
        del environment["SM_API_KEY"]
    elif name.endswith("wrong-password"):
        environment["SM_CLIENT_CERT_PASSWORD"] = "another"  # noqa: S105 - and wrong
    elif name.endswith("wrong-key"):
        environment["SM_API_KEY"] += "0"
    elif name.endswith("503"):
        refusal = Response(503, wire.error("internal_error", "Internal Server Error"), {"Retry-After": "600"})
        agent.host.service.faults.append(Fault("GET", "certificates", refusal, times=9))
    answer = agent.type("smctl", *arguments, environment=environment)
    assert answer.code == (1 if name == "smctl-sign-fails-exit-0" else code), answer.err
    if answer.code:
        assert "Error: " in answer.out + answer.err


def test_healthcheck_says_what_scripts_look_for_and_nothing_of_a_secret(agent: BuildAgent) -> None:
    """R6: "Status: Connected" and "Can sign: Yes"; not even half-masked secrets."""
    healthy = agent.type("smctl", "healthcheck")
    for line in ("\tStatus: Connected\n", "\tCan sign: Yes\n", "\tAccounts: Example Ltd\n", "\t\tMapped: Yes\n"):
        assert line in healthy.out
    secrets = agent.environment["SM_API_KEY"], agent.environment["SM_CLIENT_CERT_PASSWORD"]
    assert not any(secret[:4] in healthy.out or secret[-4:] in healthy.out for secret in secrets)
    assert "Signing tools" not in agent.type("smctl", "healthcheck", "--user").out
    assert "User credentials" not in agent.type("smctl", "healthcheck", "--tools").out


def test_healthcheck_fails_where_no_key_pair_may_sign(agent: BuildAgent) -> None:
    """Connected is not enough."""
    pair = agent.host.world.keypairs[0]
    pair.signers = frozenset({"somebody.else"})
    try:
        answer = agent.type("smctl", "healthcheck")
    finally:
        pair.signers = None
    assert (answer.code, "\tCan sign: No\n" in answer.out) == (1, True)


def test_lists_of_key_pairs_and_certificates(agent: BuildAgent) -> None:
    """smctl's columns; --filter takes one field."""
    listed = agent.type("smctl", "keypair", "ls")
    titles, *rows = listed.out.splitlines()
    assert titles.split() == ["ID", "TYPE", "ALIAS", "ALGORITHM", "STATUS", "TYPE", "STORAGE", "CERTIFICATE"]
    assert [row.split()[2] for row in rows] == [ALIAS, "Fabrikam"]
    assert rows[0].split()[3:] == ["RSA", "2048", "ONLINE", "PRODUCTION", "HSM", "contoso-certificate"]
    assert len(agent.type("smctl", "kp", "list", "-f", f"alias={ALIAS}").out.splitlines()) == 2
    assert agent.type("smctl", "kp", "ls", "--filter", "colour=red").code == 1
    assert agent.type("smctl", "windows", "ksp", "list").out.startswith("DigiCert Signing Manager KSP\n")
    certificates = agent.type("smctl", "cert", "ls").out
    assert "contoso-certificate" in certificates
    assert "fabrikam-certificate" in certificates


def test_certificate_download_as_openssl_reads_it(agent: BuildAgent) -> None:
    """PEM with the chain, DER without; a name that leads elsewhere is refused."""
    saved = agent.type("smctl", "certificate", "download", "--keypair-alias", ALIAS, "--chain", "--out", "saved")
    assert (saved.code, saved.out) == (0, "Certificate saved to: saved/contoso-certificate.pem\n")
    pem = agent.folder / "saved" / "contoso-certificate.pem"
    assert pem.read_text(encoding="ascii").count("BEGIN CERTIFICATE") == 3
    identifier = agent.host.world.certificates[0].id
    assert agent.type("smctl", "cert", "save", identifier, "-f", "der", "-n", "leaf.crt").code == 0
    fingerprints = [
        subprocess.check_output(["openssl", "x509", "-in", path, "-noout", "-fingerprint"], text=True)
        for path in (pem, agent.folder / "leaf.crt")
    ]
    assert fingerprints[0] == fingerprints[1]
    assert agent.type("smctl", "cert", "save", identifier, "-n", "../leaf.crt").code == 1
    assert agent.type("smctl", "cert", "save").code == 1


def test_certsync_without_an_alias_takes_what_may_sign(agent: BuildAgent) -> None:
    """Another user's key pair is left out."""
    synced = agent.type("smctl", "windows", "certsync")
    assert synced.code == 0
    assert re.findall(r"keypair alias: (.+), store", synced.out) == [ALIAS]
    assert len(list((agent.store / "certificates").iterdir())) == 1
    assert agent.type("smctl", "windows", "certsync", "--keypair-type=test").code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sign", "--input", "tree"], 'required flag(s) "keypair-alias" not set'),
        (["sign", "--keypair-alias", ALIAS], 'required flag(s) "input" not set'),
        (["sign", "--keypair-alias", ALIAS, "--input", "tree", "--digalg", "SHA1"], "not a digest that may be signed"),
        (["sign", "--keypair-alias", ALIAS, "--input", "tree", "-t", "jarsigner"], "formats that kspsign does not"),
        (["sign", "--keypair-alias", ALIAS, "--input", "nothing"], "no file matches nothing"),
        (["sign", "verify"], 'required flag(s) "input" not set'),
        (["sign", "verify", "--input", "tree", "--fingerprint", "x"], "--fingerprint is not a thumbprint"),
        (["sign", "remove", "--input", "tree"], "smctl sign remove"),
        (["creds", "save", "a-secret-key", "a-secret-word"], "these are not the credentials"),
        (["credentials", "save", "", ""], "these are not the credentials"),
        (["credentials", "delete"], "smctl credentials"),
        (["windows", "ksp", "register"], "smctl windows ksp register"),
        (["keypair", "generate", "rsa"], 'unknown command for "smctl"'),
        (["windows", "certsync", "--store", "system"], "--store system"),
    ],
)
def test_refused_in_smctls_form(agent: BuildAgent, arguments: list[str], said: str) -> None:
    """Error and remedy on standard error, exit code 1, nothing spent and no secret repeated."""
    tree(agent.folder)
    spent = agent.host.world.spent
    answer = agent.type("smctl", *arguments)
    assert answer.code == 1
    assert said in answer.err
    assert "remedy: " in answer.err
    assert "a-secret" not in answer.out + answer.err
    assert agent.host.world.spent == spent


def test_a_certificate_file_must_be_the_key_pairs(agent: BuildAgent) -> None:
    """--certificate names what the service must have, before a signature is spent."""
    tree(agent.folder)
    agent.type("smctl", "cert", "save", "--keypair-alias", ALIAS, "-n", "ours.pem")
    call = ("smctl", "sign", "--keypair-alias", ALIAS, "--input", "tree", "--certificate")
    assert agent.type(*call, "ours.pem").code == 0
    world = agent.host.world
    strange = world.add_certificate(world.add_keypair("Strange", new_key()), "strange")
    (agent.folder / "strange.pem").write_bytes(strange.leaf.pem)
    world.certificates.remove(strange)
    spent = world.spent
    shutil.rmtree(agent.folder / "tree")
    tree(agent.folder)
    refused = agent.type(*call, "strange.pem")
    assert (refused.code, world.spent) == (1, spent)


def test_version_and_help(agent: BuildAgent) -> None:
    """Help ends well; every command has one."""
    assert agent.type("smctl", "-v").out.startswith("smctl version ")
    assert "--keypair-alias string" in agent.type("smctl", "sign", "-h").out
    assert "windows certsync" in agent.type("smctl").out


def test_credentials_that_the_environment_has_are_accepted_and_not_saved(agent: BuildAgent) -> None:
    """Scripts stop where `smctl credentials save` fails; no value is printed."""
    given = [agent.environment[name] for name in ("SM_API_KEY", "SM_CLIENT_CERT_PASSWORD")]
    for word in ("credentials", "creds"):
        saved = agent.type("smctl", word, "save", *given)
        assert (saved.code, saved.err) == (0, "")
        assert not any(value in saved.out for value in given)
    assert agent.type("smctl", "credentials", "save", given[0]).code == 1
    assert agent.type("smctl", "credentials", "save", *reversed(given)).code == 1


def test_sign_verify_of_signed_unsigned_and_changed_files(agent: BuildAgent) -> None:
    """`-k` as scripts write it; then each file is verified, whatever its extension."""
    one, two = tree(agent.folder)
    assert agent.type("smctl", "sign", "-k", ALIAS, "-i", "tree").code == 0
    two.rename(two.with_suffix(".node"))
    thumbprint = read_thumbprint(agent)
    verified = agent.type("smctl", "sign", "verify", f"--fingerprint={thumbprint.lower()}", "--input=tree")
    assert (verified.code, verified.err) == (0, "")
    successes = re.findall(r"^verifyCommand command for file (.+) was SUCCESSFUL$", verified.out, re.MULTILINE)
    assert sorted(successes) == ["tree/one.exe", "tree/sub/two.node"]
    other = agent.type("smctl", "sign", "verify", "--fingerprint", "0" * 40, "--input", "tree/one.exe")
    assert (other.code, other.out) == (1, "verifyCommand command for file tree/one.exe FAILED\n")
    assert thumbprint in other.err
    content = bytearray(one.read_bytes())
    content[600] ^= 1
    one.write_bytes(content)
    (agent.folder / "tree" / "plain.exe").write_bytes(build_pe(overlay=b"unsigned"))
    refused = agent.type("smctl", "sign", "verify", "--input", "tree")
    assert refused.code == 1
    failures = re.findall(r"^verifyCommand command for file (.+) FAILED$", refused.out, re.MULTILINE)
    assert sorted(failures) == ["tree/one.exe", "tree/plain.exe"]
    assert "TRUST_E_BAD_DIGEST" in refused.err
    assert "TRUST_E_NOSIGNATURE" in refused.err


def read_thumbprint(agent: BuildAgent) -> str:
    """The thumbprint that certsync prints."""
    synced = agent.type("smctl", "windows", "certsync", "--keypair-alias", ALIAS)
    return synced.out.split("Thumbprint: ")[1].strip()


def test_certsync_without_an_alias_goes_on_after_an_expired_certificate(agent: BuildAgent) -> None:
    """A key pair that nobody asked for stops no build; asked for by name it does."""
    world = agent.host.world
    pair = world.add_keypair("Expired", new_key())
    ended = datetime.now(UTC) - timedelta(days=1)
    held = world.add_certificate(pair, "expired", end=ended)
    world.keypairs.remove(pair)
    world.keypairs.insert(0, pair)
    try:
        synced = agent.type("smctl", "windows", "certsync")
        named = agent.type("smctl", "windows", "certsync", "--keypair-alias", "Expired")
    finally:
        world.keypairs.remove(pair)
        world.certificates.remove(held)
    assert synced.code == 0
    assert re.findall(r"keypair alias: (.+), store", synced.out) == [ALIAS]
    assert "not synchronised: no certificate of Expired can sign now" in synced.err
    assert (named.code, named.out) == (1, "")
