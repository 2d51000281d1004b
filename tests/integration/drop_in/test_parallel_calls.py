"""Eight calls of smctl and SignTool at the same time on 200 files: one store, one signature cache, one limit."""

from __future__ import annotations

from pathlib import Path

from support.drop_in import ALIAS, BuildAgent
from support.formats.peimages import build_pe
from support.samples import assert_no_leftovers, kspsign

CALLS, FILES, CONTENTS = 8, 200, 140
LIMIT = 3
SIGN = ("signtool", "sign", "/csp", "DigiCert Signing Manager KSP", "/kc", ALIAS, "/fd", "SHA256", "/td", "SHA256")


def image(number: int) -> bytes:
    return build_pe(overlay=f"content {number}".encode())


def shares(folder: Path) -> list[Path]:
    """A folder for each call; most contents are there once, others again in the folders of other calls."""
    folders = [folder / f"part-{number}" for number in range(CALLS)]
    for part in folders:
        part.mkdir()
    for number in range(FILES):
        (folders[number % CALLS] / f"image-{number:03}.dll").write_bytes(image(number % CONTENTS))
    return folders


def test_every_file_is_signed_and_each_digest_costs_one_signature(agent: BuildAgent, tmp_path: Path) -> None:
    """Files with the same content in different calls share a signature, and every file verifies."""
    folders, world = shares(tmp_path), agent.host.world
    settings = agent.settings_file(signature_cache=str(tmp_path / "cache"), max_signatures=CONTENTS)
    environment = {**agent.host.environment, "KSPSIGN_CONFIG": str(settings)}
    before = world.spent
    calls = [
        agent.start(*command, environment=environment)
        for smctl, signtool in zip(folders[::2], folders[1::2], strict=True)
        for command in (
            ("smctl", "sign", "--keypair-alias", ALIAS, "--input", smctl),
            (*SIGN, "/tr", agent.timestamps, signtool / "*.dll"),
        )
    ]
    ended = [(call.communicate(timeout=120)[0], call.returncode) for call in calls]
    assert [code for _, code in ended] == [0] * CALLS, "".join(out for out, _ in ended)
    digests = world.signed[before:]
    assert (len(digests), len(set(digests))) == (CONTENTS, CONTENTS)
    verified = kspsign("verify", *folders, "--trust-root", agent.roots, folder=tmp_path)
    assert (verified.code, verified.report["totals"]["verified"]) == (0, FILES)
    assert all(agent.peer(next(folder.iterdir())).accepted for folder in folders)
    assert_no_leftovers(tmp_path)


def test_the_limit_counts_for_all_calls_together(agent: BuildAgent, tmp_path: Path) -> None:
    """What the calls before spent is spent; what they obtained is had again for nothing."""
    settings = agent.settings_file(signature_cache=str(tmp_path / "cache"), max_signatures=LIMIT)
    environment = {**agent.host.environment, "KSPSIGN_CONFIG": str(settings)}
    before = agent.host.world.spent
    for number in range(LIMIT):
        (tmp_path / f"{number}.dll").write_bytes(image(number))
        assert agent.type("smctl", "sign", ALIAS, "-i", f"{number}.dll", environment=environment).code == 0
    (tmp_path / "more.dll").write_bytes(image(LIMIT))
    refused = agent.type("smctl", "sign", ALIAS, "-i", "more.dll", environment=environment)
    assert refused.code == 1
    assert "the signature cache's limit of 3 signatures is used up" in refused.err
    (tmp_path / "again.dll").write_bytes(image(0))
    again = agent.type("smctl", "sign", ALIAS, "-i", "again.dll", "--verbose", environment=environment)
    assert again.code == 0
    assert "from the signature cache" in again.out + again.err
    assert agent.host.world.spent == before + LIMIT
