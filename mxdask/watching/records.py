"""What became of a sweep, kept beside its results: a rerun takes it from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from mxdask.flow.fingerprint import code_fingerprint
from mxdask.io.json_files import write_json


@dataclass(frozen=True)
class Record:
    """The outcome of one stage of one sweep.

    Attributes
    ----------
    key : hash of all that it depends on. ok : whether it went well; else ``reason`` says at which step and why.
    numbers : what people want to see. seconds : how long it took.
    """

    key: str
    ok: bool
    reason: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None for one that is missing or damaged: the work is done again."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))


def key_of(*parts: str | Iterable[str]) -> str:
    """Hash of the program and ``parts``."""
    digest = hashlib.sha256(code_fingerprint().encode())
    for part in parts:
        for text in [part] if isinstance(part, str) else part:
            digest.update(f"{len(text)}:{text}".encode())
        digest.update(b"|")
    return digest.hexdigest()[:32]
