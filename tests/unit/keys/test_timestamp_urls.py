"""Which timestamp servers are asked, by key store, and where none is not allowed."""

from __future__ import annotations

import pytest

from kspsign.keys.open import timestamp_urls
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, Settings

MICROSOFT = "http://timestamp.acs.microsoft.com"


@pytest.mark.parametrize("store", [None, *STORES.entries, "of-another-version"])
def test_the_key_store_s_own_server_comes_first_and_none_twice(store: str | None) -> None:
    urls = timestamp_urls(Settings(), store)
    assert set(urls) == set(DEFAULT_TIMESTAMP_URLS)
    assert len(urls) == len(DEFAULT_TIMESTAMP_URLS)
    assert urls[0] == (MICROSOFT if store == "azure-artifact-signing" else DEFAULT_TIMESTAMP_URLS[0])


def test_named_servers_win() -> None:
    named = ("http://tsa.example", "http://other.example")
    for store in (None, "azure-artifact-signing"):
        assert timestamp_urls(Settings(timestamp_url=named), store) == named


@pytest.mark.parametrize("store", [None, *STORES.entries])
def test_no_timestamp_is_refused_where_certificates_last_days(store: str | None) -> None:
    settings = Settings(no_timestamp=True)
    if store == "azure-artifact-signing":
        with pytest.raises(ConfigurationError, match="lasts days") as refused:
            timestamp_urls(settings, store)
        assert (refused.value.code, refused.value.exit_code) == ("TIMESTAMP_NEEDED", 3)
    else:
        assert timestamp_urls(settings, store) == ()
