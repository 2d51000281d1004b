"""The pipelines of docs/getting-started that sign by SignTool, run as written on the lab's Windows.

That of Business Central is not among them: it needs Microsoft's NavSip.dll.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.agent.pipeline import Project, run_pipeline
from support.documentation.reading import blocks
from windows_lab.building import PYTHON
from windows_lab.machine import LAB_VARIABLES, Windows
from windows_lab.windows_agent import build_extension, install_task

PAGES = ("docs/getting-started/keylocker-windows.md", "docs/getting-started/windows.md")
ALIAS = "Contoso-Release"


@pytest.fixture(scope="module")
def vsix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension for the lab's Windows."""
    return build_extension(tmp_path_factory.mktemp("extension"), PYTHON)


@pytest.mark.parametrize("page", PAGES)
def test_signtool_s_pipeline_runs_as_written(page: str, vsix: Path, windows: Windows, timestamp_url: str) -> None:
    (text,) = [block.text for block in blocks() if block.page == page and "keyStore: windows" in block.text]
    agent = install_task(vsix, windows)
    if "thumbprint:" in text:
        text = text.replace("98C2A4F216AE3CA5B496B454A227C2F48713626C", windows.certsync(ALIAS).thumbprint)
    given = {name: value for name, value in windows.environment.items() if name.startswith("SM_")}
    secrets = {name: given[name] for name in ("SM_API_KEY", "SM_CLIENT_CERT_PASSWORD")}

    def build(staging: Path) -> None:
        for name in ("app.exe", "core.dll"):
            windows.program().rename(staging / name)

    def fetch(name: str) -> Path:
        path = agent.temp / name
        path.write_bytes(b"what the page's reader uploaded")
        return path

    project = Project(
        build,
        variables={"SM_HOST": given["SM_HOST"], "toolsSha256": "0" * 64},
        secrets=secrets,
        environment={} if "env:" in text else given,  # the lab's KSP is DigiCert's, another vendor's needs none
        unwritten={
            "timestampUrl": timestamp_url,
            "trustRoot": windows.path(windows.trust_root),
            "toolEnv": "\n".join(LAB_VARIABLES),
        },
        fetch=fetch,
    )
    (run,) = run_pipeline(text.replace("release-key", ALIAS), agent, project)
    assert run.result == "Succeeded", "\n".join(run.log)
    assert run.outputs["filesSigned"] == "2"
    assert not any(secret in line for secret in secrets.values() for line in run.log)
    staging = agent.root / "_work" / "1" / "a"
    for name in ("app.exe", "core.dll"):
        accepted = windows.signtool("verify", "/pa", "/all", "/tw", staging / name)
        assert accepted.exit_code == 0, accepted.output
