"""The binary section of CBF files: where it starts, how it is packed (imgCIF 1.5; front.md 4.3)."""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mxdask.errors import FileError

MARKER = b"\x0c\x1a\x04\xd5"
HEADER_BYTES = 65536
_ELEMENT_TYPES = {
    "signed 32-bit integer": "<i4", "unsigned 32-bit integer": "<u4", "signed 16-bit integer": "<i2",
    "unsigned 16-bit integer": "<u2", "signed 8-bit integer": "i1", "unsigned 8-bit integer": "u1",
}  # fmt: skip
_KNOWN_PACKINGS = ("x-CBF_BYTE_OFFSET", "x-CBF_NONE")


@dataclass(frozen=True)
class CbfBinary:
    """One binary section.

    Attributes
    ----------
    start, nbytes : where the packed pixels lie in the (unzipped) file.
    shape : (slow, fast).
    packing : ``x-CBF_BYTE_OFFSET`` or ``x-CBF_NONE``.
    element_type : numpy type string of the unpacked pixels.
    """

    start: int
    nbytes: int
    shape: tuple[int, int]
    packing: str
    element_type: str


def is_cbf_name(path: str | Path) -> bool:
    return str(path).lower().removesuffix(".gz").removesuffix(".bz2").endswith(".cbf")


def read_bytes(path: str | Path) -> bytes:
    """The whole file, unzipped when its name ends in .gz or .bz2."""
    try:
        data = Path(path).read_bytes()
        if str(path).endswith(".gz"):
            return gzip.decompress(data)
        return bz2.decompress(data) if str(path).endswith(".bz2") else data
    except (EOFError, zlib.error) as error:
        raise FileError(f"{path}: compressed file is cut off or damaged ({error}); copy it again") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _open(path: str | Path) -> BinaryIO | gzip.GzipFile | bz2.BZ2File:
    if str(path).endswith(".gz"):
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if str(path).endswith(".bz2") else open(path, "rb")


def read_header(path: str | Path) -> str:
    """Everything before the binary section plus its MIME lines, as text; reads 64 KiB at most."""
    try:
        with _open(path) as file:
            start = file.read(HEADER_BYTES)
    except (EOFError, zlib.error) as error:
        raise FileError(f"{path}: compressed file is cut off or damaged ({error}); copy it again") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    end = start.find(MARKER)
    if end < 0:
        raise FileError(f"{path}: no CBF binary section within the first {HEADER_BYTES} bytes; not a CBF image?")
    return start[:end].decode("latin-1").replace("\r\n", "\n")


def find_binary(content: bytes, path: str | Path) -> CbfBinary:
    """Where the pixels are in the content of a CBF file.

    Raises
    ------
    FileError : no binary section, or sizes or packing missing or not supported.
    """
    marker = content.find(MARKER)
    if marker < 0:
        raise FileError(f"{path}: no CBF binary section found; the file is cut off or not a CBF image")
    return binary_of_header(content[:marker].decode("latin-1"), marker + len(MARKER), path)


def binary_of_header(header: str, start: int, path: str | Path) -> CbfBinary:
    """The section described by the MIME lines at the end of ``header``; its pixels begin at byte ``start``."""
    mime = header[max(0, header.rfind("--CIF-BINARY-FORMAT-SECTION--")) :]

    def number(key: str) -> int:
        match = re.search(rf"{key}:\s*(\d+)", mime, re.IGNORECASE)
        if match is None:
            raise FileError(f"{path}: CBF binary header lacks {key}; the file is damaged")
        return int(match.group(1))

    fast, slow = number("X-Binary-Size-Fastest-Dimension"), number("X-Binary-Size-Second-Dimension")
    packing = re.search(r'conversions="?([\w-]+)', mime, re.IGNORECASE)
    name = packing.group(1) if packing else "x-CBF_NONE"
    known = {p.lower(): p for p in _KNOWN_PACKINGS}.get(name.lower())
    element = re.search(r'X-Binary-Element-Type:\s*"([^"]+)"', mime, re.IGNORECASE)
    element_type = _ELEMENT_TYPES.get(element.group(1).lower()) if element else "<i4"
    if known is None or element_type is None:
        raise FileError(
            f"{path}: CBF packing {name} of {element and element.group(1)!r} is not supported; use byte offset"
        )
    if "BIG_ENDIAN" in mime:
        raise FileError(f"{path}: big-endian CBF is not supported")
    return CbfBinary(start, number("X-Binary-Size"), (slow, fast), known, element_type)
