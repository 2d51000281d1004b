"""What a run loads: the key store that it uses, and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_run_loads_no_store_but_its_own(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from kspsign.cli.main import main\n"
        "main(['certsync', '--key-store', 'embedded', '--store', sys.argv[1]])\n"
        "stores = [m for m in sys.modules if m.startswith('kspsign.keys.') and m.endswith(('.store', '.load'))]\n"
        "print(stores)\n"
        "from kspsign.keys.table import STORES\n"
        "print('entry_points' in vars(STORES))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    *_report, loaded, looked_up = done.stdout.splitlines()
    assert loaded == "['kspsign.keys.embedded.store']"
    assert looked_up == "False"
