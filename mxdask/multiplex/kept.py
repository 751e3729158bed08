"""Which stages of an earlier run still hold, so that a rerun does only what its crystals or parameters changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from mxdask.flow.fingerprint import code_fingerprint, stat_fingerprint
from mxdask.io.json_files import write_json


def stage_key(*parts: str | Iterable[str]) -> str:
    """Hash of what a stage is made from: the program and ``parts`` (keys of crystals, parameters as JSON …)."""
    digest = hashlib.sha256(code_fingerprint().encode())
    for part in parts:
        for text in [part] if isinstance(part, str) else part:
            digest.update(f"{len(text)}:".encode() + text.encode())
        digest.update(b"|")
    return digest.hexdigest()[:32]


class Stages:
    """The manifest of one folder: a stage is *kept* while its key is the same and its files are as it left them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / ".mxdask" / "multiplex.json"

    def holds(self, stage: str, key: str) -> bool:
        """Whether the files of a stage are all there and were made with this key."""
        entry = self._read().get(stage)
        if not isinstance(entry, dict) or entry.get("key") != key:
            return False
        files = [self.folder / str(name) for name in entry.get("files", [])]
        return all(f.exists() for f in files) and entry.get("state") == stat_fingerprint(files)

    def completed(self, stage: str, key: str, files: Sequence[str]) -> None:
        """Remember that a stage left ``files`` (names in the folder)."""
        content = self._read()
        state = stat_fingerprint(self.folder / name for name in files)
        content[stage] = {"key": key, "files": list(files), "state": state}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, content)

    def _read(self) -> dict[str, object]:
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}  # costs only time: what the manifest does not vouch for is done again
        return content if isinstance(content, dict) else {}
