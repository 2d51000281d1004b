"""Folders as publishing a ClickOnce application or a VSTO add-in leaves them, with manifests as MSBuild writes them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from support.formats.peimages import build_pe

_NAMESPACES = (
    'xsi:schemaLocation="urn:schemas-microsoft-com:asm.v1 assembly.adaptive.xsd" manifestVersion="1.0" '
    'xmlns:asmv1="urn:schemas-microsoft-com:asm.v1" xmlns="urn:schemas-microsoft-com:asm.v2" '
    'xmlns:asmv2="urn:schemas-microsoft-com:asm.v2" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:co.v1="urn:schemas-microsoft-com:clickonce.v1" xmlns:dsig="http://www.w3.org/2000/09/xmldsig#"'
)
_HASH = """<hash>
        <dsig:Transforms>
          <dsig:Transform Algorithm="urn:schemas-microsoft-com:HashTransforms.Identity" />
        </dsig:Transforms>
        <dsig:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#{algorithm}" />
        <dsig:DigestValue>{digest}</dsig:DigestValue>
      </hash>"""
_BEGIN = '\N{BYTE ORDER MARK}<?xml version="1.0" encoding="utf-8"?>\n<asmv1:assembly {namespaces}>\n'
_ENTRY_POINTS = {
    "application": '<entryPoint>\n    <assemblyIdentity name="App" version="1.0.0.0" language="neutral" '
    'processorArchitecture="msil" />\n    <commandLine file="App.exe" parameters="" />\n  </entryPoint>',
    "vsto": "<entryPoint>\n    <co.v1:customHostSpecified />\n  </entryPoint>",
}
NO_TOKEN = "0" * 16


@dataclass(frozen=True)
class Published:
    """What was published: the folder, and the manifests in it."""

    folder: Path
    application: Path
    deployment: Path
    copy: Path
    """The deployment manifest's copy next to the application manifest."""
    files: tuple[Path, ...]


def hash_element(content: bytes, algorithm: str = "sha256") -> str:
    """The hash element of a file's entry."""
    digest = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    return _HASH.format(algorithm=algorithm, digest=digest)


def assembly_entry(name: str, content: bytes, identity: str, algorithm: str = "sha256") -> str:
    """A dependency that is installed."""
    return (
        f'  <dependency>\n    <dependentAssembly dependencyType="install" codebase="{name}" size="{len(content)}">\n'
        f"      {identity}\n      {hash_element(content, algorithm)}\n    </dependentAssembly>\n  </dependency>\n"
    )


def file_entry(name: str, content: bytes) -> str:
    """Another file."""
    return f'  <file name="{name}" size="{len(content)}">\n    {hash_element(content)}\n  </file>\n'


def application_manifest(
    files: Mapping[str, bytes], *, name: str = "App.exe", kind: str = "application", algorithm: str = "sha256"
) -> bytes:
    """An application manifest of these files; programs are dependencies."""
    identity = '<assemblyIdentity name="App" version="1.0.0.0" language="neutral" processorArchitecture="msil" />'
    entries = "".join(
        assembly_entry(path, content, identity, algorithm)
        if path.endswith((".exe", ".dll"))
        else file_entry(path, content)
        for path, content in files.items()
    )
    text = (
        f'{_BEGIN.format(namespaces=_NAMESPACES)}  <asmv1:assemblyIdentity name="{name}" version="1.0.0.0" '
        f'publicKeyToken="{NO_TOKEN}" language="neutral" processorArchitecture="msil" type="win32" />\n'
        f"  <application />\n  {_ENTRY_POINTS[kind]}\n  <dependency>\n"
        '    <dependentAssembly dependencyType="preRequisite" allowDelayedBinding="true">\n'
        '      <assemblyIdentity name="Microsoft.Windows.CommonLanguageRuntime" version="4.0.30319.0" />\n'
        f"    </dependentAssembly>\n  </dependency>\n{entries}</asmv1:assembly>"
    )
    return text.encode()


def deployment_manifest(codebase: str, application: bytes, *, name: str = "App.exe") -> bytes:
    """A deployment manifest of the application manifest `application` at `codebase`."""
    identity = (
        f'<assemblyIdentity name="{name}" version="1.0.0.0" publicKeyToken="{NO_TOKEN}" language="neutral" '
        'processorArchitecture="msil" type="win32" />'
    )
    text = (
        f'{_BEGIN.format(namespaces=_NAMESPACES)}  <assemblyIdentity name="App.application" version="1.0.0.0" '
        f'publicKeyToken="{NO_TOKEN}" language="neutral" processorArchitecture="msil" '
        'xmlns="urn:schemas-microsoft-com:asm.v1" />\n'
        '  <description asmv2:publisher="Test" asmv2:product="App" xmlns="urn:schemas-microsoft-com:asm.v1" />\n'
        f'  <deployment install="true" mapFileExtensions="true" />\n{assembly_entry(codebase, application, identity)}'
        "</asmv1:assembly>"
    )
    return text.encode()


def publish(folder: Path, *, vsto: bool = False) -> Published:
    """A published application with a program, a library in a folder of its own, and its configuration; setup.exe."""
    version = folder / "Application Files" / "App_1_0_0_0"
    program, suffix = ("App.dll", ".vsto") if vsto else ("App.exe", ".application")
    files = {
        program: build_pe(overlay=b"the program"),
        "lib\\Helper.dll": build_pe(overlay=b"the library"),
        f"{program}.config": b"<configuration />",
    }
    paths = []
    for name, content in files.items():
        path = version.joinpath(*PureWindowsPath(name).parts)
        path = path.with_name(f"{path.name}.deploy")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    manifest = version / f"{program}.manifest"
    application = application_manifest(files, name=program, kind="vsto" if vsto else "application")
    manifest.write_bytes(application)
    codebase = str(PureWindowsPath("Application Files", "App_1_0_0_0", manifest.name))
    deployment, copy = folder / f"App{suffix}", version / f"App{suffix}"
    for path in (deployment, copy):
        path.write_bytes(deployment_manifest(codebase, application, name=program))
    setup = folder / "setup.exe"
    setup.write_bytes(build_pe(overlay=b"the bootstrapper"))
    return Published(folder, manifest, deployment, copy, (*paths, setup))
