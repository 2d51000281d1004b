"""What SignTool and smctl really print (transcripts of the Windows lab), and the failure each is explained as."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.diagnosis import diagnose
from support.places import TRANSCRIPTS

EXPECTED = {
    "02": ["credentials-missing"],
    "05": ["ksp-already-registered"],
    "06": ["certificate-not-synchronised"],  # R21, R25
    "07": ["client-certificate-password-wrong"],
    "08": ["api-key-refused"],
    "09": ["keypair-not-found"],  # R26
    "10": ["digicert-unavailable"],
    "15": ["verify-without-pa"],
    "18": ["private-key-unavailable"],  # R26
    "19": ["ksp-name-misspelt"],  # R21
    "20": ["key-does-not-fit"],
    "21": ["private-key-unavailable"],
    "22": ["filter-private-key"],
    "23": ["filter-hash"],
    "24": ["sha1-is-not-an-algorithm"],  # R23
    "25": ["file-digest-not-stated"],
    "26": ["timestamp-digest-not-stated"],
    "27": ["file-not-found"],
    "28": ["file-empty"],
    "29": ["bad-executable"],
    "30": ["file-in-use"],
    "31": ["navsip-not-registered"],  # R20, R22
    "32": ["navsip-not-registered"],
    "33": ["navsip-not-registered"],
    "34": ["timestamp-omitted"],  # R24
    "37": ["several-certificates"],
    "38": ["filter-expiry"],
    "39": ["filter-eku"],
    "42": ["key-device-not-ready"],
    "43": ["ksp-internal-error"],
    **{number: ["timestamp-server-failed"] for number in ("44", "45", "46", "47", "48", "49")},
    "51": ["no-signature"],  # R17
    "52": ["file-not-found"],
    "53": ["changed-after-signing"],
    "54": ["untrusted-root", "timestamp-omitted"],  # R18
    "55": ["timestamp-omitted"],
    "56": ["certificate-expired", "timestamp-omitted"],  # R19
    "58": ["wrong-usage", "timestamp-omitted"],
    "59": ["chain-incomplete", "timestamp-not-trusted"],
    "60": ["no-signature", "changed-after-signing"],
    "61": ["timestamp-omitted"],
    "62": ["timestamp-omitted"],
    "64": ["keypair-not-found", "smctl-exits-zero"],
    "65": ["keypair-not-found", "smctl-exits-zero"],
}


def _transcripts() -> list[Path]:
    return sorted(TRANSCRIPTS.glob("*.txt"))


@pytest.mark.parametrize("path", _transcripts(), ids=lambda path: path.stem)
def test_transcript_is_explained_as_what_it_shows(path: Path) -> None:
    found = [diagnosis.id for diagnosis in diagnose(path.read_text(encoding="utf-8"))]
    assert found == EXPECTED.get(path.name[:2], [])


def test_every_expected_transcript_is_there() -> None:
    assert EXPECTED.keys() <= {path.name[:2] for path in _transcripts()}


def test_every_transcript_that_ends_in_an_error_is_explained() -> None:
    failing = {path.name[:2] for path in _transcripts() if not path.read_text("utf-8").rstrip().endswith("code 0")}
    assert len(failing) > 35
    assert failing <= EXPECTED.keys()


@pytest.mark.parametrize("number", ["24", "38", "53", "54", "31"])
def test_pasted_from_an_agents_log_with_its_time_on_each_line(number: str) -> None:
    (path,) = TRANSCRIPTS.glob(f"{number}-*.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    log = "\r\n".join(f"2026-11-23T08:06:47.1234567Z ##[error]{line}" for line in lines)
    assert [diagnosis.id for diagnosis in diagnose(log)] == EXPECTED[number]


CONSIDERED = """\
The following certificates were considered:
    Issued to: Old
    Expires:   Mon Jan 01 00:00:00 2024
    SHA1 hash: {0}
    Issued to: Server
    Expires:   Tue Dec 31 23:59:59 2047
    SHA1 hash: {1}
    Issued to: Good
    Expires:   Mon Dec 31 23:59:59 2046
    SHA1 hash: {2}
"""
FILTERS = "After {} filter, {} certs were left.\n"
OLD, SERVER, GOOD, STRANGER = "0" * 40, "1" * 40, "2" * 40, "3" * 40


def _debug(*left: int, asked: str | None = None) -> str:
    names = ("EKU", "expiry", "Hash", "Private Key")
    steps = "".join(FILTERS.format(name, count) for name, count in zip(names, left, strict=True))
    command = f"signtool sign /debug /fd SHA256 /sha1 {asked} app.exe\n" if asked else ""
    return command + CONSIDERED.format(OLD, SERVER, GOOD) + steps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(_debug(2, 1, 0, 0, asked=OLD), ["filter-expiry"], id="expired"),
        pytest.param(_debug(2, 1, 0, 0, asked=SERVER), ["filter-eku"], id="not for code, others expired"),
        pytest.param(_debug(2, 2, 0, 0, asked=SERVER), ["filter-eku"], id="not for code"),
        pytest.param(_debug(2, 1, 0, 0, asked=STRANGER), ["filter-hash"], id="not there"),
        pytest.param(_debug(2, 1, 1, 0, asked=GOOD), ["filter-private-key"], id="no key"),
        pytest.param(_debug(0, 0, 0, 0, asked=GOOD), ["filter-eku"], id="none for code"),
        pytest.param(_debug(2, 0, 0, 0, asked=OLD), ["filter-expiry"], id="all expired"),
        pytest.param(_debug(2, 1, 0, 0), ["filter-hash", "filter-eku", "filter-expiry"], id="asked for unknown"),
        pytest.param(_debug(2, 1, 1, 1, asked=GOOD), [], id="chosen"),
        pytest.param("After Private Key filter, 0 certs were left.", ["filter-private-key"], id="one line"),
        pytest.param(FILTERS.format("EKU", 0), ["certificate-not-synchronised", "filter-eku"], id="EKU line"),
        pytest.param(
            FILTERS.format("EKU", 3) + FILTERS.format("expiry", 2) + FILTERS.format("Hash", 0),
            ["filter-hash", "filter-expiry"],
            id="hash, without the list",
        ),
        pytest.param(
            FILTERS.format("EKU", 2) + FILTERS.format("Subject Name", 0) + FILTERS.format("Private Key", 0),
            ["filter-name"],
            id="names, without the list",
        ),
    ],
)
def test_debug_lines_say_which_filter_dropped_the_certificate(text: str, expected: list[str]) -> None:
    found = [diagnosis.id for diagnosis in diagnose(text + "SignTool Error: No certificates were found that met all")]
    assert found == expected
