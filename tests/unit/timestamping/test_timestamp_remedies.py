"""What is advised where timestamp servers fail: by what they answered."""

from __future__ import annotations

import pytest

from kspsign.timestamping.remedies import HTML_PAGE, remedy_for

OTHERWISE = "Check the network."


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("HTTP 404", "correct its path"),
        ("HTTP 407", "The proxy wants a login"),
        ("no answer (the proxy rejected it: 407 Proxy Authentication Required)", "The proxy wants a login"),
        (HTML_PAGE, "a portal"),
        ("HTTP 403", "wants a login"),
        ("a redirect from https to http://x", "redirects to"),
        ("more than 5 redirects", "redirects to"),
        ("HTTP 301", "redirects to"),
        ("no answer (SSLCertVerificationError: certificate verify failed)", "--ca-file"),
        ("no answer (SSLError: WRONG_VERSION_NUMBER)", "--ca-file"),
    ],
)
def test_each_answer_has_its_remedy(said: str, advice: str) -> None:
    remedy = remedy_for([said], OTHERWISE)
    assert advice in remedy
    assert "The file was not changed" in remedy


@pytest.mark.parametrize("said", ["no answer (timed out)", "HTTP 503", "no answer (unknown host)", "HTTP 4040"])
def test_all_else_has_the_general_one(said: str) -> None:
    assert remedy_for([said], OTHERWISE) == OTHERWISE


def test_servers_that_fail_alike_are_advised_once_and_two_kinds_at_most() -> None:
    remedy = remedy_for(["HTTP 404", "HTTP 404", "HTTP 407", HTML_PAGE], OTHERWISE)
    assert remedy.count("correct its path") == 1
    assert "The proxy wants a login" in remedy
    assert "portal" not in remedy
