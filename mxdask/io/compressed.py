"""Files that may be zipped: .gz, .bz2 and .xz are unpacked while they are read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import IO, Any

from mxdask.errors import FileError

SUFFIXES = (".gz", ".bz2", ".xz")
_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def without_suffix(path: str | Path) -> str:
    """The name in small letters, without the suffix of a compression."""
    name = str(path).lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def read_bytes(path: str | Path, limit: int = -1) -> bytes:
    """Content of a file, unpacked; at most ``limit`` bytes of it.

    Raises
    ------
    FileError : missing, or the compressed file is cut off or damaged.
    """
    opener = _OPEN.get(Path(path).suffix.lower(), open)
    try:
        file: IO[bytes]
        with opener(path, "rb") as file:
            return file.read(limit)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise FileError(f"{path}: compressed file is cut off or damaged ({error}); copy it again") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
