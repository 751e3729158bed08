"""Numbers and tables as JSON that everything reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.io.atomic import replacing


def plain(value: Any) -> Any:
    """What JSON can hold: numpy numbers and arrays become plain ones, numbers that are not finite None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_json(path: str | Path, content: Any, *, indent: int | None = 1) -> None:
    """Write ``content``, made plain, to a file that appears complete or not at all.

    Raises
    ------
    FileError : the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain(content), indent=indent))
