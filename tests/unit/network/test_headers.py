"""Values that no header can carry are refused before anything is sent, and never shown; dates of answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kspsign.model.errors import ConfigurationError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.headers import check_headers
from kspsign.network.pool import Pool
from kspsign.network.retry import http_date, retry_after_seconds

URL = "https://vault.example:8200/v1/sys/health"


@pytest.mark.parametrize("value", ["planted\nsecret", "planted\r\n", "planted\x00", "planted\u4e2d", "planted\ud800"])
def test_a_value_that_can_t_be_sent_is_not_shown(value: str) -> None:
    pool = Pool(NetworkOptions(), deadline=1)
    with (
        pytest.raises(ConfigurationError, match=r"to vault\.example as X-Vault-Token") as refused,
        pool.request("GET", URL, headers={"X-Vault-Token": value}),
    ):
        pass
    assert "planted" not in f"{refused.value} {refused.value.remedy}"


@pytest.mark.parametrize("value", ["", "Bearer abc", "a\tb", "M\xfcller"])
def test_a_value_that_can_be_sent(value: str) -> None:
    check_headers({"Authorization": value}, URL)


@pytest.mark.parametrize(
    "text", ["", "soon", "Mon, 01 Jan 2024 00:00:00 +" + "9" * 40, "Mon, 01 Jan 2024 " + "9" * 5000 + ":00:00 GMT"]
)
def test_what_is_not_a_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Ii]nvalid|not a date"):
        http_date(text)
    assert retry_after_seconds(text) is None


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""])
def test_a_date_is_in_utc(zone: str) -> None:
    assert http_date(f"Mon, 01 Jan 2024 00:00:00 {zone}") == datetime(2024, 1, 1, tzinfo=UTC)
