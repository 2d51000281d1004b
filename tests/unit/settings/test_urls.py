"""Timestamp URLs are judged before a signature is spent."""

from __future__ import annotations

import pytest

from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS
from kspsign.settings.resolve import resolve


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("timestamp.digicert.com", "does not begin with http:// or https://"),
        ("//timestamp.digicert.com", "does not begin with"),
        ("http:/timestamp.digicert.com", "does not begin with"),
        ("ftp://timestamp.digicert.com", "over http:// or https:// only"),
        ("file:///etc/passwd", "over http:// or https:// only"),
        ("http://a.example,http://b.example", "holds several"),
        ("http://a.example, http://b.example", "holds several"),
        ("http://a.example;https://b.example", "holds several"),
        ("http://a.example http://b.example", "holds several"),
        ('"http://a.example"', "quotation marks"),
        ("'http://a.example'", "quotation marks"),
        ("\u201chttp://a.example\u201d", "quotation marks"),
        ("<http://a.example>", "angle brackets"),
        ("http://a.example:99999", "port"),
        ("http://a.example:http", "port"),
        ("http://a.example:0", "port"),
        ("http://a.example:", "port"),
        ("http://", "names no host"),
        ("http:///tsa", "names no host"),
        ("http://:80/", "names no host"),
        ("http://a b.example", "a blank"),
        ("http://a.example\\tsa", "a backslash"),
        ("http://a,b.example", "host"),
        ("http://[::1", "host"),
        ("http://t\u00e4st.example", "host"),
        ("http://-a.example", "host"),
        ("", "does not begin with"),
    ],
)
@pytest.mark.parametrize("command", ["run", "timestamp", "doctor"])
def test_a_url_that_can_not_be_asked_is_refused(command: str, url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(command, {"timestamp_url": [url]}, environment={}, stores=STORES)  # type: ignore[arg-type]  # one of them
    assert words in str(caught.value)
    assert "--timestamp-url" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *DEFAULT_TIMESTAMP_URLS,
        "https://user:p%40ss@tsa.example:8443/path;x?a=b,c",
        "HTTP://TSA.Example/tsr",
        "http://127.0.0.1:3161",
        "http://[::1]:3161/",
        "http://tsa_internal.corp.",
        "http://localhost",
    ],
)
def test_a_url_that_can_be_asked_is_taken(url: str) -> None:
    assert resolve("run", {"timestamp_url": [url]}, environment={}, stores=STORES).timestamp_url == (url,)


def test_a_login_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("run", {"timestamp_url": ["http://me:hunter2@a.example:x"]}, environment={}, stores=STORES)
    assert "hunter2" not in str(caught.value)
