"""An editor's part of the language server protocol, with the YAML language server that editors start (standard input
and output, JSON-RPC 2.0 with `Content-Length` headers)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, Any, Self

from support.places import ROOT

SERVER = ROOT / "task" / "shim" / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
SETTINGS = {"yaml": {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}}
"""What people set; without the store of schemas, which the server would ask over the network."""


class Editor:
    """An editor with `folder` open, inside its `with` block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", str(SERVER), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        root = self._folder.as_uri()
        capabilities = {"workspace": {"configuration": True}, "textDocument": {"publishDiagnostics": {}}}
        self.ask("initialize", processId=None, rootUri=root, capabilities=capabilities)
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": SETTINGS}})
        return self

    def __exit__(self, *_unused: object) -> None:
        self.ask("shutdown")
        self._send({"method": "exit"})
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def open(self, name: str, text: str) -> list[str]:
        """Open a file of the folder, which holds `text`; what the editor underlines: line (from 1) and message."""
        document = {"uri": self.uri(name), "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while True:
            message = self._receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                params = message["params"]
                if params["uri"] == document["uri"]:
                    return [
                        f"{diagnostic['range']['start']['line'] + 1}: {diagnostic['message']}"
                        for diagnostic in params["diagnostics"]
                    ]

    def uri(self, name: str) -> str:
        """The address of a file of the folder."""
        return (self._folder / name).as_uri()

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a request."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == self._number and "method" not in message:
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        pipe = self._pipe(self._process.stdin)
        pipe.write(f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
        pipe.flush()

    def _receive(self) -> dict[str, Any]:
        """The next message; a question of the server's is answered on the way."""
        pipe, length = self._pipe(self._process.stdout), 0
        while (line := pipe.readline().strip()) or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            assert line or self._process.poll() is None, "the server ended"
        message: dict[str, Any] = json.loads(pipe.read(length))
        if "id" in message and "method" in message:
            items = message.get("params", {}).get("items", [])
            asked = [SETTINGS.get(item.get("section", ""), {}) for item in items]
            self._send({"id": message["id"], "result": asked if items else None})
        return message

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
