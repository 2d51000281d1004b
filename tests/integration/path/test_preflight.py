"""What can be known of timestamps before a signature is spent: untrusted servers, wrong clocks, tampered tokens."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority, create_authority
from kspsign.embedded.timestamp_reply import respond
from support.keylocker_bench import Bench, open_bench
from support.samples import Run, assert_no_leftovers, copy_launcher, kspsign, osslsigncode_verify
from support.signing import Publisher
from support.timestamping.server import Stamping, Trouble
from support.timestamping.tampering import with_certificate, with_crl, with_unsigned_attribute

FILES = 12


@pytest.fixture
def bench(tmp_path: Path, authority: EmbeddedAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with open_bench(tmp_path, authority) as bench:
        for name, value in bench.host.environment.items():
            monkeypatch.setenv(name, value)
        yield bench


@pytest.fixture(scope="module")
def stranger() -> EmbeddedAuthority:
    """An authority that nobody trusts."""
    return create_authority(datetime.now(UTC))


def sign(bench: Bench, *urls: str, options: tuple[str, ...] = ()) -> Run:
    return kspsign(*bench.arguments(*urls), *options, folder=bench.folder)


def assert_stopped(run: Run, bench: Bench, before: dict[Path, bytes], code: str, *urls: str, spent: int = 0) -> str:
    """Nothing was signed, and the run's error names the servers; its message."""
    assert (run.code, run.report["error"]["code"]) == (6, code), run.text
    assert (bench.spent, run.report["totals"]["signatures_used"]) == (spent, spent)
    assert {file["error"]["code"] for file in run.report["files"]} <= {code, "NOT_TRIED"}
    assert code in {file["error"]["code"] for file in run.report["files"]}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert_no_leftovers(bench.dist)
    message = str(run.report["error"]["message"])
    assert all(url in message for url in urls)
    return message


class TestUntrusted:
    def test_the_second_server_takes_over(
        self, bench: Bench, authority: EmbeddedAuthority, stranger: EmbeddedAuthority
    ) -> None:
        bench.files(FILES)
        with Stamping(stranger) as untrusted, Stamping(authority) as trusted:
            run = sign(bench, untrusted.url, trusted.url)
        assert (run.code, bench.spent) == (0, FILES), run.text
        assert {file["timestamp_server"] for file in run.report["files"]} == {trusted.url}
        assert untrusted.asked < FILES, "whose tokens do not verify is left alone"
        assert osslsigncode_verify(next(bench.dist.iterdir()), bench.roots).accepted

    def test_where_none_is_trusted_no_signature_is_spent(self, bench: Bench, stranger: EmbeddedAuthority) -> None:
        before = bench.files(100)
        with Stamping(stranger) as one, Stamping(stranger) as other:
            run = sign(bench, one.url, other.url)
        message = assert_stopped(run, bench, before, "TIMESTAMP_UNAVAILABLE", one.url, other.url)
        assert message.count("its token would not verify (timestamp-certificate-chain: ") == 2
        assert (one.asked, other.asked) == (1, 1)

    def test_a_slow_one_costs_one_signature_at_most(self, bench: Bench, stranger: EmbeddedAuthority) -> None:
        before = bench.files(FILES)
        with Stamping(stranger, latency=2.0) as slow:
            run = sign(bench, slow.url)
        assert bench.spent <= 1
        assert_stopped(run, bench, before, "TIMESTAMP_UNAVAILABLE", slow.url, spent=bench.spent)

    def test_timestamping_what_is_signed_asks_the_next_server_too(
        self, publisher: Publisher, stranger: EmbeddedAuthority, tmp_path: Path
    ) -> None:
        path = copy_launcher(tmp_path)
        assert publisher.sign(path, stamped=False).code == 0
        with Stamping(stranger) as untrusted:
            stamp = ("timestamp", path, "--trust-root", publisher.roots, "--timestamp-url", untrusted.url)
            assert kspsign(*stamp, folder=tmp_path).error_code == "TIMESTAMP_UNAVAILABLE"
            run = kspsign(*stamp, "--timestamp-url", publisher.timestamp_url, folder=tmp_path)
        assert run.code == 0, run.text
        assert publisher.peer(path).accepted


class TestTampered:
    """A man in the middle of plain http adds to a token what nothing signs."""

    @pytest.mark.parametrize("tamper", [with_certificate, with_crl, with_unsigned_attribute])
    def test_it_is_not_embedded_and_the_next_server_is_asked(
        self, bench: Bench, authority: EmbeddedAuthority, tamper: Callable[[bytes], bytes]
    ) -> None:
        def tampered(query: bytes, own: EmbeddedAuthority, now: datetime) -> bytes:
            return tamper(respond(query, own, now))

        before = bench.files(FILES)
        with Stamping(authority, answer=tampered) as middle, Stamping(authority) as direct:
            alone = sign(bench, middle.url)
            assert bench.spent <= 1
            assert_stopped(alone, bench, before, "TIMESTAMP_UNAVAILABLE", middle.url, spent=bench.spent)
            run = sign(bench, middle.url, direct.url)
        assert (run.code, bench.spent) == (0, FILES), run.text
        assert {file["timestamp_server"] for file in run.report["files"]} == {direct.url}


class TestClocks:
    def test_a_slow_one_is_noticed_before_a_signature_is_spent(
        self, bench: Bench, authority: EmbeddedAuthority
    ) -> None:
        before = bench.files(20)
        ahead = timedelta(minutes=12)
        with Stamping(authority, skew=ahead) as one, Stamping(authority, skew=ahead) as two:
            run = sign(bench, one.url, two.url)
        message = assert_stopped(run, bench, before, "TIMESTAMP_CLOCK", one.url, two.url)
        assert "clock is slow" in message
        assert any("NTP" in file["error"]["remedy"] for file in run.report["files"])

    def test_one_server_with_a_wrong_clock_gives_way_to_the_next(
        self, bench: Bench, authority: EmbeddedAuthority
    ) -> None:
        bench.files(FILES)
        with Stamping(authority, skew=timedelta(hours=2)) as wrong, Stamping(authority) as right:
            run = sign(bench, wrong.url, right.url)
        assert (run.code, bench.spent) == (0, FILES), run.text

    @pytest.mark.parametrize("minutes", [3, -3])
    def test_a_small_difference_is_said(self, bench: Bench, authority: EmbeddedAuthority, minutes: int) -> None:
        bench.files(1)
        with Stamping(authority, skew=timedelta(minutes=minutes)) as stamping:
            run = sign(bench, stamping.url)
        assert run.code == 0, run.text
        assert re.search(r"this machine's clock says \S+Z, the timestamp server's \S+Z", run.text)

    def test_none_is_not(self, bench: Bench, authority: EmbeddedAuthority) -> None:
        bench.files(1)
        with Stamping(authority) as stamping:
            run = sign(bench, stamping.url)
        assert run.code == 0
        assert "clock" not in run.text

    def test_a_certificate_that_is_not_valid_by_the_servers_clock_signs_nothing(
        self, bench: Bench, authority: EmbeddedAuthority
    ) -> None:
        before = bench.files(3)
        pair = bench.host.world.add_keypair("new")
        bench.host.world.add_certificate(pair, "new", begin=datetime.now(UTC) - timedelta(minutes=1))
        with Stamping(authority, skew=timedelta(minutes=-3)) as stamping:
            run = sign(bench, stamping.url, options=("--keypair-alias", "new"))
        assert "not valid" in assert_stopped(run, bench, before, "TIMESTAMP_CLOCK", stamping.url)


class TestAsking:
    def test_a_slow_server_holds_nothing_up(self, bench: Bench, authority: EmbeddedAuthority) -> None:
        bench.files(1)
        with Stamping(authority, latency=2.0) as slow:
            run = sign(bench, slow.url)
        assert run.code == 0, run.text
        (file,) = run.report["files"]
        assert file["seconds"]["sign"] < 1.5, "the signature did not wait for the answer"

    def test_a_server_that_gives_no_token_costs_one_signature(self, bench: Bench) -> None:
        before = bench.files(FILES)
        with Stamping(create_authority(datetime.now(UTC)), trouble=lambda _number: Trouble(404)) as wrong:
            run = sign(bench, wrong.url)
        assert "HTTP 404" in assert_stopped(run, bench, before, "TIMESTAMP_UNAVAILABLE", wrong.url, spent=1)

    def test_it_is_asked_once_and_only_for_what_is_to_be_stamped(
        self, bench: Bench, authority: EmbeddedAuthority
    ) -> None:
        first, *_ = bench.files(3)
        shutil.copyfile(first, bench.dist / "twin.dll")
        with Stamping(authority) as stamping:
            assert sign(bench, stamping.url, options=("--dry-run",)).code == 0
            assert stamping.asked == 0
            assert sign(bench, stamping.url).code == 0
            assert stamping.asked == 4
        assert (bench.spent, sign(bench).code) == (3, 0)
