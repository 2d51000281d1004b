"""docs/how-to/key-stores.md says of each key store and engine what the code does."""

from __future__ import annotations

import re
import threading
from typing import get_args

import pytest

from kspsign.keys.keylocker.store import MIN_RSA_BITS
from kspsign.keys.protocol import SigningKey
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import EngineName, Settings
from kspsign.signing.budget import Budget
from kspsign.signing.engine import open_engine
from kspsign.signing.shared_state import SharedState
from support.places import ROOT

PAGE = (ROOT / "docs" / "how-to" / "key-stores.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells
    for line in PAGE.splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 7 and cells[0].startswith("`")
}


def test_each_key_store_has_its_row() -> None:
    assert list(ROWS) == list(STORES.entries)
    for name, entry in STORES.entries.items():
        engines = [word for cell in ROWS[name][1:3] for word in re.findall("`(.+?)`", cell)]
        assert engines == list(entry.engines)
        assert f"| `{name}` | {entry.holds} | " in PAGE
    named = {word for cells in ROWS.values() for cell in cells[1:3] for word in re.findall("`(.+?)`", cell)}
    assert named == set(get_args(EngineName)) - {"auto"}
    assert f"from {MIN_RSA_BITS} bits" in ROWS["keylocker"][3]


@pytest.mark.parametrize("store", ROWS)
def test_an_engine_that_the_table_does_not_name_is_refused(store: str) -> None:
    possible = {word for cell in ROWS[store][1:3] for word in re.findall("`(.+?)`", cell)}
    certificate = SyncedCertificate("AB" * 20, (b"",), None, store, {}, test_signing=False)
    for engine in {"native", "signtool", "smctl"} - possible:
        settings, shared = Settings.model_validate({"engine": engine}), SharedState.begin(threading.Event())
        key, budget = SigningKey(certificate), Budget(None)
        with pytest.raises(ConfigurationError), open_engine(settings, key, budget, shared, lambda *_: None, None):
            pass
