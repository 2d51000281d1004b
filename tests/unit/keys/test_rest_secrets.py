"""What a service repeats of a secret is unreadable, however it spells it; and how long a token is valid."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from kspsign.keys.rest import read_life, without
from kspsign.network.exchange import HttpAnswer

SECRET = "pa\"ss\\w/\u00f6rd' <planted>&+%"  # noqa: S105 - made in the test


@pytest.mark.parametrize(
    "spell",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("\\u00f6", "\\u00F6"),
        html.escape,
        lambda text: html.escape(text).replace("&#x27;", "&#39;"),
        lambda text: quote(text, safe=""),
        quote_plus,
        lambda text: quote(text, safe="").lower(),
    ],
)
def test_no_spelling_of_a_secret_is_left(spell: Callable[[str], str]) -> None:
    body = without(HttpAnswer(400, {}, f"refused: {spell(SECRET)}!".encode()), (SECRET, "")).body
    assert b"planted" not in body
    assert (body.startswith(b"refused: "), b"***" in body, body.endswith(b"!")) == (True, True, True)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (0.5, 0.5),
        (0, 0.0),
        (10**400, 86400.0),
        (float("inf"), 86400.0),
        ("1e400", 86400.0),
    ],
)
def test_a_token_s_life(given: object, seconds: float) -> None:
    assert read_life(given) == seconds


@pytest.mark.parametrize("given", [float("nan"), "nan", -5, "soon", None, True, []])
def test_what_is_not_a_token_s_life(given: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_life(given)
