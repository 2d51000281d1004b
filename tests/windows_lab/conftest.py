"""Fixtures of the Windows lab: the lab is built by the first test that asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from windows_lab.building import Engine, build_lab, install_engine
from windows_lab.fault_bench import Bench
from windows_lab.machine import Windows


@pytest.fixture(scope="session")
def lab() -> Path:
    """The folder of the built lab."""
    return build_lab()


@pytest.fixture(scope="session")
def windows_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """This tree's engine and its dependencies for Windows CPython."""
    return install_engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture
def windows(lab: Path, windows_engine: Engine, tmp_path: Path) -> Iterator[Windows]:
    """A fresh Windows: own certificate stores, registry, faults and call log."""
    machine = Windows(lab, tmp_path, windows_engine)
    machine.boot()
    yield machine
    machine.shut_down()


@pytest.fixture(scope="module")
def bench(lab: Path, windows_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One Windows for all faults of a module, with a timestamp server; made clean before each."""
    windows = Windows(lab, tmp_path_factory.mktemp("bench"), windows_engine)
    windows.boot()
    command, environment = windows.command("tsa", "0"), windows.linux_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        yield Bench(windows, server.stdout.readline().decode("ascii").strip())
        server.terminate()
    windows.shut_down()


@pytest.fixture
def timestamp_url(windows: Windows) -> Iterator[str]:
    """The lab's RFC 3161 server, run for this test; its faults are those of the point `tsa`."""
    server = subprocess.Popen(
        windows.command("tsa", "0"), env=windows.linux_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout is not None
    yield server.stdout.readline().decode("ascii").strip()
    server.terminate()
    server.wait(60)
    server.stdout.close()
