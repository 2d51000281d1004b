"""How much is asked of each timestamp server."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.settings.timestamp_limits import ServerLimit, TimestampLimits, parse_limits


def test_a_server_that_nobody_limits_gets_the_setting() -> None:
    assert TimestampLimits(64).of("http://timestamp.digicert.com") == ServerLimit(64)


@pytest.mark.parametrize("url", ["http://timestamp.sectigo.com", "https://Timestamp.Sectigo.com./qualified"])
def test_what_the_operator_asks_for_holds_unless_the_user_says_otherwise(url: str) -> None:
    assert TimestampLimits(64).of(url) == ServerLimit(1, 15.0)
    named = TimestampLimits(64, parse_limits(["timestamp.sectigo.com=2/0.5"]))
    assert named.of(url) == ServerLimit(2, 0.5)


def test_servers_of_one_host_are_told_apart_by_port() -> None:
    limits = TimestampLimits(64, parse_limits(["localhost:8080=1/3", "LOCALHOST=7"]))
    assert limits.of("http://localhost:8080/a") == ServerLimit(1, 3.0)
    assert limits.of("http://localhost/a") == ServerLimit(7)


@pytest.mark.parametrize(
    "item", ["", "a", "a=", "a=0", "a=-1", "a=257", "a=1/", "a=1/x", "a=1/15s", "http://a=1", "a b=1", "a=1=2"]
)
def test_another_form_is_refused_with_the_right_one(item: str) -> None:
    with pytest.raises(ValidationError, match="is not HOST=REQUESTS"):
        Settings(timestamp_limit=(item,))


def test_a_host_is_named_once() -> None:
    with pytest.raises(ValidationError, match="the limit of a is given twice"):
        Settings(timestamp_limit=("a=1", "A=2"))


def test_the_server_that_wants_time_between_requests_is_asked_last() -> None:
    limits = Settings().timestamp_limits
    assert [limits.of(url).spacing > 0 for url in DEFAULT_TIMESTAMP_URLS] == [False, False, True]
