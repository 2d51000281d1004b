"""PKCS#11 modules as they are met: they hang, crash, call exit, know no threads, ask for a PIN each time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.keys.pkcs11.isolated import module_environment
from support import softhsm
from support.certificates import rsa_key
from support.formats.peimages import build_pe
from support.pkcs11_tokens.daemons import until
from support.pki import ca, signer
from support.samples import Run, assert_no_leftovers, kspsign_process
from support.softhsm import LIBRARY, PIN, SoftHsm

NOW = datetime.now(UTC)
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=10), "end": NOW + timedelta(days=300)}
SOURCE = Path(__file__).parents[2] / "support" / "faulty_module.c"


@dataclass(frozen=True)
class Bench:
    """A token behind a module that goes wrong as it is told."""

    token: SoftHsm
    module: Path
    root: Path

    def run(
        self, folder: Path, fault: str, *options: object, files: int = 2, pin: bool = True, **environment: str
    ) -> Run:
        arguments = self.prepare(folder, *options, files=files, pin=pin)
        return kspsign_process(*arguments, folder=folder, environment=self.environment(folder, fault, **environment))

    def environment(self, folder: Path, fault: str, **environment: str) -> dict[str, str]:
        """What the module, and kspsign with it, is to see."""
        return {
            **self.token.environment,
            "FAULTY_MODULE": str(LIBRARY),
            "FAULTY": fault,
            "FAULTY_RIGHT": f"={PIN}",
            "FAULTY_LOG": str(folder / "logins"),
            **environment,
        }

    def prepare(self, folder: Path, *options: object, files: int, pin: bool) -> list[object]:
        """Make what is to be signed in `folder`; the arguments of the run."""
        for number in range(files):
            (folder / f"{number:02}.dll").write_bytes(build_pe(overlay=b"%d" % number))
        (folder / "logins").touch()
        (folder / "store").mkdir(exist_ok=True)
        named = list(self.token.options("rsa", self.module))
        if not pin:
            at = named.index("--pkcs11-pin-env")
            del named[at : at + 2]
        trust = ("--no-timestamp", "--trust-root", self.root)
        return ["run", "*.dll", *named, "--store", folder / "store", *trust, *options]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("faulty")
    module = folder / "faulty.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(module), str(SOURCE)], check=True)
    token = softhsm.create(folder)
    root = ca("Token root", **VALID)
    key = rsa_key(2048)
    token.import_key(key, "rsa", "01")
    token.import_certificate(signer("Publisher", root, key=key, **VALID), "another label", "77")
    (folder / "root.pem").write_bytes(root.pem)
    return Bench(token, module, folder / "root.pem")


def logins(folder: Path) -> list[str]:
    return (folder / "logins").read_text(encoding="ascii").splitlines()


def test_without_a_fault_it_signs_by_the_certificate_of_the_public_key(bench: Bench, tmp_path: Path) -> None:
    """The certificate has neither the key's id nor its label."""
    run = bench.run(tmp_path, "", files=30)
    assert run.code == 0, run.text
    assert run.report["totals"]["signed"] == 30
    assert logins(tmp_path) == ["C_Login 1 pin"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("exit:C_Sign", "ended with exit code 0"),
        ("abort:C_Sign", "signal 6; it said: assertion failed in the vendor's code"),
        ("exit:C_Initialize", "ended with exit code 0"),
        ("abort:C_Login", "signal 6"),
        ("endless", "ended with exit code 1"),
        ("hang:C_Sign", "did not answer within 2 s"),
        ("hang:C_Login", "did not answer within 2 s"),
        ("hang:C_Initialize", "did not answer within 2 s"),
    ],
)
def test_what_the_module_does_to_its_process_is_told_and_the_report_is_written(
    fault: str, words: str, bench: Bench, tmp_path: Path
) -> None:
    run = bench.run(tmp_path, fault, "--pkcs11-timeout", 2)
    at_signing = fault.endswith("C_Sign")
    assert run.code == (6 if at_signing else 5), run.text
    assert words in run.text
    errors = [entry["error"] for entry in run.report["files"]] if at_signing else [run.report["error"]]
    code = "PKCS11_MODULE_SILENT" if fault.startswith("hang") else "PKCS11_MODULE_ENDED"
    assert code in {error["code"] for error in errors} <= {code, "PKCS11_MODULE_ENDED"}
    assert run.report["totals"]["signed"] == 0
    assert_no_leftovers(tmp_path)
    assert PIN not in run.text


def test_a_key_that_wants_a_login_for_each_signature_signs_with_many_workers(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "always", "--jobs", 8, files=30)
    assert run.code == 0, run.text
    assert run.report["totals"]["signed"] == 30
    assert logins(tmp_path) == ["C_Login 1 pin", *["C_Login 2 pin"] * 30]


def test_a_pin_that_is_refused_for_a_signature_is_not_tried_again(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "always", "--jobs", 8, files=12, FAULTY_RIGHT="=another")
    assert run.code == 6, run.text
    assert {entry["error"]["code"] for entry in run.report["files"]} <= {"PKCS11_PIN", "CIRCUIT_OPEN", "NOT_TRIED"}
    assert run.report["files"][0]["error"]["code"] == "PKCS11_PIN"
    assert logins(tmp_path) == ["C_Login 1 pin", "C_Login 2 pin"]


@pytest.mark.parametrize("fault", ["final", "final optional"])
def test_a_token_that_the_next_wrong_pin_would_lock_is_left_alone(fault: str, bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, fault)
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_PIN_LOCKED"), run.text
    assert "locks with the next wrong PIN" in run.text
    assert logins(tmp_path) == []


def test_a_pin_pad_asks_for_each_signature_of_a_key_that_wants_it(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "pad always", "--jobs", 8, files=6, pin=False)
    assert run.code == 0, run.text
    assert logins(tmp_path) == ["C_Login 1 pad", *["C_Login 2 pad"] * 6]


def test_what_a_cancelled_login_left_unfinished_is_in_no_other_signatures_way(bench: Bench, tmp_path: Path) -> None:
    """The cancelled file's signature stays begun in its session, which refuses another one (CKR_OPERATION_ACTIVE)."""
    run = bench.run(tmp_path, "always cancel", files=4)
    assert run.code == 1, run.text
    (failed,) = [entry["error"] for entry in run.report["files"] if entry["outcome"] == "failed"]
    assert failed["code"] == "PKCS11_REFUSED"
    assert "CKR_FUNCTION_CANCELED" in failed["message"]
    assert run.report["totals"]["verified"] == 3


def test_a_token_without_memory_for_more_sessions_signs_with_those_that_it_has(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "memory", "--jobs", 8, files=12)
    assert run.code == 0, run.text
    assert run.report["totals"]["verified"] == 12


def test_a_wrong_pin_at_the_pad_is_asked_for_once(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "pad", pin=False, FAULTY_TYPED="=another")
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_PIN"), run.text
    assert logins(tmp_path) == ["C_Login 1 pad"]


def test_a_pad_whose_next_wrong_pin_would_lock_is_not_asked(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "pad final", pin=False)
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_PIN_LOCKED"), run.text
    assert logins(tmp_path) == []


@pytest.mark.parametrize("function", ["C_Finalize", "C_CloseSession"])
def test_a_module_that_hangs_when_all_is_done_spoils_nothing(function: str, bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, f"hang:{function}", "--pkcs11-timeout", 2)
    assert run.code == 0, run.text
    assert run.report["totals"]["verified"] == 2


def test_a_hanging_module_does_not_outlive_the_run_that_was_killed(bench: Bench, tmp_path: Path) -> None:
    arguments = bench.prepare(tmp_path, files=1, pin=True)
    environment = {**os.environ, **bench.environment(tmp_path, "hang:C_Sign")}
    run = subprocess.Popen([sys.executable, "-m", "kspsign", *map(str, arguments)], cwd=tmp_path, env=environment)
    try:
        until(lambda: "hangs" in logins(tmp_path))
        (module,) = children(run.pid)
    finally:
        run.kill()
        run.wait()
    until(lambda: not Path(f"/proc/{module}").exists())


def children(process: int) -> list[str]:
    return [number for path in Path(f"/proc/{process}/task").glob("*/children") for number in path.read_text().split()]


def test_a_key_whose_dates_are_over_signs_nothing(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "expired")
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_KEY_EXPIRED"), run.text
    assert "20200131" in run.text


def test_a_mechanism_that_the_token_lacks_is_missed_before_the_first_signature(bench: Bench, tmp_path: Path) -> None:
    configuration = (bench.token.folder / "softhsm2.conf").read_text(encoding="utf-8")
    (tmp_path / "softhsm2.conf").write_text(
        f"{configuration}slots.mechanisms = CKM_SHA256_RSA_PKCS\n", encoding="utf-8"
    )
    run = bench.run(tmp_path, "", SOFTHSM2_CONF=str(tmp_path / "softhsm2.conf"))
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_REFUSED"), run.text
    assert "does not offer CKM_RSA_PKCS" in run.text


def test_a_certificate_is_found_by_the_public_key_object_when_the_private_key_hides_its_modulus(
    bench: Bench, tmp_path: Path
) -> None:
    run = bench.run(tmp_path, "unavailable")
    assert run.code == 0, run.text


def test_a_signature_of_impossible_length_is_not_embedded(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "garbage")
    assert run.code == 6, run.text
    assert run.report["totals"]["signed"] == 0
    assert_no_leftovers(tmp_path)


def test_a_pin_pad_asks_for_the_pin_itself(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "pad", "--verbose", pin=False)
    assert run.code == 0, run.text
    assert "at its reader's PIN pad" in run.text
    assert logins(tmp_path) == ["C_Login 1 pad"]


@pytest.mark.parametrize("fault", ["slot", "grow"])
def test_a_bad_slot_and_a_growing_list_are_in_nobodys_way(fault: str, bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, fault)
    assert run.code == 0, run.text


def test_a_module_that_knows_no_threads_is_called_by_one(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "loner", "--jobs", 8, files=8)
    assert run.code == 0, run.text


def test_the_modules_own_parameters_reach_it(bench: Bench, tmp_path: Path) -> None:
    text = "configdir='sql:/some where' flags=readOnly"
    run = bench.run(tmp_path, "parameters", "--pkcs11-parameters", text, FAULTY_PARAMETERS=text)
    assert run.code == 0, run.text
    refused = bench.run(tmp_path, "parameters", FAULTY_PARAMETERS=text)
    assert (refused.code, refused.report["error"]["code"]) == (5, "PKCS11_REFUSED"), refused.text


@pytest.mark.parametrize("named", ["signing *", "signing toke?"])
def test_a_token_is_found_by_a_pattern_of_its_label(named: str, bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, "", "--pkcs11-token", named)
    assert run.code == 0, run.text


def test_a_certificate_of_another_ec_key_is_not_taken_for_the_keys(tmp_path: Path) -> None:
    token = softhsm.create(tmp_path / "token")
    root, key, other = (
        ca("Root", **VALID),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    token.import_key(key, "rsa", "01")
    token.import_certificate(signer("Another", root, key=other, **VALID), "rsa", "01")
    (tmp_path / "root.pem").write_bytes(root.pem)
    bench = Bench(token, LIBRARY, tmp_path / "root.pem")
    run = bench.run(tmp_path, "")
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_NO_CERTIFICATE"), run.text
    token.import_certificate(signer("Its own", root, key=key, **VALID), "somewhere else", "0b")
    assert bench.run(tmp_path, "").code == 0


def test_the_modules_process_sees_no_secret_that_nobody_gave_it() -> None:
    own = {
        "PATH": "/bin",
        "SOFTHSM2_CONF": "x",
        "AZURE_CLIENT_SECRET": "s",
        "SM_API_KEY": "k",
        "P": PIN,
        "GH_TOKEN": "t",
    }
    seen = module_environment({"SM_API_KEY": "k"}, PIN, own)
    assert seen == {"PATH": "/bin", "SOFTHSM2_CONF": "x", "SM_API_KEY": "k"}
