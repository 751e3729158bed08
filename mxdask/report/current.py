"""Is a page that lies there already the one that would be written? Drawing it again takes seconds."""

from __future__ import annotations

from html import escape
from pathlib import Path

_HEAD = 2000  # characters of a page among which its key stands


def key_tag(key: str) -> str:
    """What a page says of the content it was made from; "" without a key."""
    return f'<meta name="mxdask-content" content="{escape(key)}">' if key else ""


def is_current(path: Path, key: str) -> bool:
    """Whether the page exists and was made from this content."""
    try:
        with path.open(encoding="utf-8") as file:
            return key_tag(key) in file.read(_HEAD)
    except (OSError, UnicodeDecodeError):
        return False
