"""Secrets do not leave an answer, in whatever way its JSON spells them."""

from __future__ import annotations

import json

import pytest

from kspsign.keys.rest import without
from kspsign.network.exchange import HttpAnswer

SECRETS = ("plain", 'quo"ted', "back\\slash", "M\u00fcller", "ab/cd+ef==")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("slashes", [True, False])
def test_no_spelling_of_a_secret_stays(secret: str, ascii_only: bool, slashes: bool) -> None:
    text = json.dumps({"error": f"refused {secret}!"}, ensure_ascii=ascii_only)
    body = text.replace("/", "\\/").encode() if slashes else text.encode()

    answer = without(HttpAnswer(401, {}, body), [secret])

    assert json.loads(answer.body) == {"error": "refused ***!"}


def test_what_is_not_secret_stays() -> None:
    answer = HttpAnswer(401, {}, b'{"error": "refused"}')

    assert without(answer, ["secret", ""]).body == answer.body
