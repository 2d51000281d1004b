"""One-time passwords: RFC 6238's own values, the forms of a secret, and that no window is given out twice."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kspsign.keys.esigner.totp import PERIOD, OneTimePasswords, password_of, read_secret
from kspsign.model.errors import CancelledError, ConfigurationError

SECRET = b"12345678901234567890"


class Clock:
    """A time that passes while one waits for a window; the file's lock is really waited for."""

    def __init__(self, now: float) -> None:
        self.now, self.waits = now, list[float]()

    def pause(self, seconds: float) -> bool:
        if seconds < 0.1:
            time.sleep(seconds)
            return False
        self.now += seconds
        self.waits.append(seconds)
        return False


def passwords(clock: Clock, record: Path) -> OneTimePasswords:
    return OneTimePasswords(SECRET, record, clock.pause, now=lambda: clock.now)


@pytest.mark.parametrize(
    ("seconds", "password"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_values_of_rfc_6238(seconds: int, password: str) -> None:
    """Appendix B, SHA-1, the last six digits."""
    assert password_of(SECRET, seconds // int(PERIOD)) == password


def test_the_forms_of_a_secret() -> None:
    for secret in (bytes(range(32)), bytes(range(100, 132)), SECRET, bytes(range(200, 232))):
        base32 = base64.b32encode(secret).decode()
        grouped = " ".join(base32[start : start + 4] for start in range(0, len(base32), 4))
        forms = [
            *(base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()),
            *(base32, base32.rstrip("="), base32.lower(), grouped),
        ]
        assert {read_secret(form, "NAME") for form in forms} == {secret}


@pytest.mark.parametrize("text", ["123456", "", "AAAA", "not/base64 at all!", "QUJDREVGR0hJSg=="])
def test_what_is_not_a_secret(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^NAME is") as refused:
        read_secret(text, "NAME")
    assert text not in f"{refused.value} {refused.value.remedy}" or not text


def test_the_next_password_waits_for_the_next_window(tmp_path: Path) -> None:
    clock = Clock(1000 * PERIOD + 5)
    source = passwords(clock, tmp_path / "new" / "record")
    assert [source.next() for _ in range(3)] == [password_of(SECRET, 1000 + number) for number in range(3)]
    assert clock.waits == [25.5, 29.5 + 0.5]


def test_a_window_that_is_nearly_over_is_left(tmp_path: Path) -> None:
    clock = Clock(1000 * PERIOD + 28.5)
    assert passwords(clock, tmp_path / "record").next() == password_of(SECRET, 1001)


def test_processes_of_a_machine_take_turns(tmp_path: Path) -> None:
    """Any number at once, each with a store of its own: as many windows as requests, in a row."""
    clocks = [Clock(1000 * PERIOD) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        taken = list(pool.map(lambda clock: passwords(clock, tmp_path / "record").next(), clocks))
    assert sorted(taken) == sorted(password_of(SECRET, 1000 + number) for number in range(12))
    assert passwords(Clock(5000 * PERIOD), tmp_path / "record").next() == password_of(SECRET, 5000)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff", b"99999999999999999999", b"-5"])
def test_a_record_that_says_nothing_useful(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(content)
    assert passwords(Clock(1000 * PERIOD), tmp_path / "record").next() == password_of(SECRET, 1000)


def test_a_record_that_can_t_be_written_holds_for_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    clock, heard = Clock(1000 * PERIOD), list[str]()
    record = tmp_path / "file" / "record"
    source = OneTimePasswords(SECRET, record, clock.pause, now=lambda: clock.now, notice=heard.append)
    assert source.next() != source.next()
    assert [str(record.parent) in text for text in heard] == [True, False]


def test_a_password_is_the_current_one_until_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock(1000 * PERIOD + 5)
    source = passwords(clock, tmp_path / "record")
    assert source.current() is None
    given = source.next()
    clock.now += 24
    assert source.current() == given
    clock.now += 1
    assert source.current() is None


def test_waiting_ends_with_the_run(tmp_path: Path) -> None:
    cancelled = threading.Event()
    source = OneTimePasswords(SECRET, tmp_path / "record", cancelled.wait, now=lambda: 1000 * PERIOD)
    source.next()
    cancelled.set()
    with pytest.raises(CancelledError):
        source.next()
