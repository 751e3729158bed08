"""What a result depends on: the program, its parameters, its input files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import mxdask


@functools.cache
def code_fingerprint() -> str:
    """Version and state of the installed package; changes when any of its files does (also while developing)."""
    root = Path(mxdask.__file__).parent
    digest = hashlib.sha256(mxdask.__version__.encode())
    for path in sorted(root.rglob("*.py")):
        status = path.stat()
        digest.update(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def content_fingerprint(paths: Iterable[str | Path]) -> str:
    """Hash of the content of (small) files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:32]


def stat_fingerprint(paths: Iterable[str | Path]) -> str:
    """Hash of name, size and modification time of (large) files; a missing file counts as such."""
    digest = hashlib.sha256()
    for path in sorted(str(p) for p in paths):
        try:
            status = Path(path).stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path} missing\n".encode())
    return digest.hexdigest()[:32]
