"""How the result grew: one line for every state of the data, in ``history.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mxdask.io.json_files import plain


class History:
    """An append-only file of JSON lines; a line that a kill cut short is no line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = self._read()

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line; it is on its own line even if the last one was cut short."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            if file.tell() > 0:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(plain(entry)).encode() + b"\n")
        self.lines.append(plain(entry))

    @property
    def last(self) -> dict[str, Any] | None:
        return self.lines[-1] if self.lines else None

    def _read(self) -> list[dict[str, Any]]:
        try:
            content = self.path.read_bytes()
        except OSError:
            return []
        out = []
        for line in content.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "time" in entry:
                out.append(entry)
        return out
