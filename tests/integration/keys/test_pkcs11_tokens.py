"""Key store pkcs11 on tokens of other makers' software: 30 files with 8 workers, and a wrong PIN that is tried once."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from support.certificates import rsa_key
from support.formats.peimages import build_pe
from support.pkcs11_tokens import nss, opencryptoki, opensc, p11_kit, tpm2
from support.pkcs11_tokens.piv_card import AUTHENTICATION, SIGNATURE
from support.pkcs11_tokens.token import PIN_VARIABLE, Publisher, TokenUnderTest, administer
from support.samples import Run, assert_no_leftovers, kspsign, kspsign_process, osslsigncode_verify
from support.softhsm import SPY

FILES, WORKERS = 30, 8
ANOTHER_PIN = "99999999"
EACH = ", PIN for each signature"
TOKENS = [
    *("NSS", "p11-kit proxy", "p11-kit server", "opencryptoki"),
    *("tpm2-pkcs11", f"tpm2-pkcs11{EACH}", "OpenSC", f"OpenSC{EACH}"),
]


@pytest.fixture(scope="module")
def publishers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Publisher]:
    """What is on a card: a key that one login is enough for, and one that wants the PIN for each signature."""
    folder = tmp_path_factory.mktemp("card")
    return {
        AUTHENTICATION: Publisher.create(folder / "authentication", ec.generate_private_key(ec.SECP256R1())),
        SIGNATURE: Publisher.create(folder / "signature", rsa_key(2048)),
    }


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TokenUnderTest, TokenUnderTest]]:
    with tpm2.create(tmp_path_factory.mktemp("tpm")) as made:
        yield made


@pytest.fixture
def token(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TokenUnderTest]:
    """The token of that name, with its software running."""
    name, folder = request.param, tmp_path / "token"
    if name == "NSS":
        yield nss.create(folder)
    elif name == "p11-kit proxy":
        yield p11_kit.proxied(folder)
    elif name == "p11-kit server":
        with p11_kit.served(folder) as made:
            yield made
    elif name == "opencryptoki":
        if os.geteuid() != 0 and "CI" not in os.environ:
            pytest.skip("opencryptoki's slot daemon starts for root alone: run this test as root")
        with opencryptoki.create(folder) as made:
            yield made
    elif name.startswith("tpm2-pkcs11"):
        one_login, pin_each = request.getfixturevalue("tpm")
        yield pin_each if name.endswith(EACH) else one_login
    else:
        publishers = request.getfixturevalue("publishers")
        key = SIGNATURE if name.endswith(EACH) else AUTHENTICATION
        with opensc.inserted(publishers, tmp_path) as made:
            yield made.token(key, publishers[key])


def run(token: TokenUnderTest, folder: Path, *options: object, pin: str | None = None, module: Path | None = None,
        **variables: str) -> Run:  # fmt: skip
    """A run over the files of `folder`."""
    return kspsign_process(
        *("run", "*.dll", *token.options(module or token.module), "--trust-root", token.root, "--no-timestamp"),
        *("--store", folder / "store", *options),
        folder=folder,
        environment={**token.environment, PIN_VARIABLE: pin or token.pin, **variables},
        before=token.entering(folder),
    )


def unsigned(folder: Path, count: int = FILES) -> dict[str, bytes]:
    """So many files to sign, by name."""
    images = {f"{number:02}.dll": build_pe(overlay=b"%d" % number) for number in range(count)}
    for name, image in images.items():
        (folder / name).write_bytes(image)
    return images


def assert_tried_once(token: TokenUnderTest, folder: Path, images: dict[str, bytes]) -> None:
    """A wrong PIN is presented once for all files, which the module's caller and the token itself say."""
    before, record = token.wrong_pins(), folder / "calls.txt"
    spied = {"PKCS11SPY": str(token.module), "PKCS11SPY_OUTPUT": str(record)}
    refused = run(token, folder, "--jobs", WORKERS, pin=ANOTHER_PIN, module=SPY, **spied)
    assert (refused.code, refused.report["error"]["code"]) == (5, "PKCS11_PIN"), refused.text
    calls = Counter(re.findall(r"^\d+: (C_\w+)", record.read_text("latin-1"), re.MULTILINE))
    assert (calls["C_Login"], calls["C_SignInit"]) == (1, 0)
    assert before is None or token.wrong_pins() == before + 1
    assert {name: (folder / name).read_bytes() for name in images} == images
    assert ANOTHER_PIN not in refused.text


@pytest.mark.parametrize("token", TOKENS, indirect=True)
def test_a_wrong_pin_is_tried_once_and_then_eight_workers_sign_thirty_files(
    token: TokenUnderTest, tmp_path: Path
) -> None:
    images = unsigned(tmp_path)
    assert_tried_once(token, tmp_path, images)
    wrong, signed = token.wrong_pins(), token.signed() if token.signed else 0
    done = run(token, tmp_path, "--jobs", WORKERS)
    assert done.code == 0, done.text
    totals = done.report["totals"]
    assert totals["signed"] == totals["verified"] == totals["signatures_used"] == FILES
    assert token.signed is None or token.signed() == signed + FILES
    assert wrong is None or (token.wrong_pins() or 0) <= wrong
    assert token.pin not in done.text
    paths = sorted(tmp_path / image for image in images)
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda path: osslsigncode_verify(path, token.root).accepted, paths))
    twin = bytearray(paths[0].read_bytes())
    twin[0x40] ^= 1  # in the DOS stub
    paths[0].write_bytes(twin)
    assert kspsign("verify", paths[0], "--no-timestamp", "--trust-root", token.root, folder=tmp_path).code == 2
    assert not osslsigncode_verify(paths[0], token.root).accepted


def test_a_card_that_the_next_wrong_pin_would_lock_is_left_alone(
    publishers: dict[int, Publisher], tmp_path: Path
) -> None:
    unsigned(tmp_path, 1)
    with opensc.inserted(publishers, tmp_path) as made:
        card, token = made.card, made.token(SIGNATURE, publishers[SIGNATURE])
        card.tries_left, card.presented = 1, 0
        refused = run(token, tmp_path)
        assert (refused.code, refused.report["error"]["code"]) == (5, "PKCS11_PIN_LOCKED"), refused.text
        assert (card.tries_left, card.presented, card.signed) == (1, 0, 0)
        card.tries_left = 2  # now it may be tried: a right PIN sets the count back
        assert run(token, tmp_path).code == 0
        assert (card.wrong_pins, card.signed) == (0, 1)


@pytest.mark.parametrize("token", ["opencryptoki"], indirect=True)
def test_the_last_try_of_a_counting_token_is_left_to_people(token: TokenUnderTest, tmp_path: Path) -> None:
    vendor = ("pkcs11-tool", "--module", token.module, "--token-label", token.label, "--login", "-O", "--pin")
    for _ in range(2):
        with pytest.raises(AssertionError, match="CKR_PIN_INCORRECT"):
            administer(*token.entering(tmp_path), *vendor, ANOTHER_PIN)
    unsigned(tmp_path, 1)
    refused = run(token, tmp_path)
    assert (refused.code, refused.report["error"]["code"]) == (5, "PKCS11_PIN_LOCKED"), refused.text
    assert token.wrong_pins() == 2
    administer(*token.entering(tmp_path), *vendor, token.pin)
    assert run(token, tmp_path).code == 0


def test_a_card_pulled_out_in_mid_run_leaves_no_file_half_written(
    publishers: dict[int, Publisher], tmp_path: Path
) -> None:
    images = unsigned(tmp_path)
    with opensc.inserted(publishers, tmp_path) as made:
        card, token = made.card, made.token(SIGNATURE, publishers[SIGNATURE])
        card.after_signing = lambda: made.pull_out() if card.signed == 5 else None
        broken = run(token, tmp_path, "--pkcs11-timeout", 5)
    assert broken.code == 1, broken.text
    signed = {name for name, entry in broken.files.items() if entry["outcome"] == "signed"}
    assert 1 <= len(signed) <= card.signed == 5
    codes = {broken.files[name]["error"]["code"] for name in images.keys() - signed}
    # OpenSC 0.23 waits for itself when its card is gone (its issue 2707): then the time is over.
    assert codes <= {"PKCS11_TOKEN_GONE", "PKCS11_MODULE_SILENT", "PKCS11_MODULE_ENDED", "PKCS11_REFUSED", "NOT_TRIED"}
    assert all((tmp_path / name).read_bytes() == images[name] for name in images.keys() - signed)
    assert_no_leftovers(tmp_path)
