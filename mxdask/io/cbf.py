"""The binary section of CBF files: where it starts, how it is packed (imgCIF 1.5; front.md 4.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mxdask.errors import FileError
from mxdask.io.compressed import read_bytes, without_suffix

MARKER = b"\x0c\x1a\x04\xd5"
HEADER_BYTES = 65536
MAX_PIXELS = 2**29  # of a frame; larger ones are taken for damage
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
    """Whether a file's name ends as CBF files' do, compressed or not."""
    return without_suffix(path).endswith(".cbf")


def read_header(path: str | Path) -> str:
    """Everything before the binary section plus its MIME lines, as text; reads 64 KiB at most."""
    start = read_bytes(path, HEADER_BYTES)
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
    nbytes = number("X-Binary-Size")
    # Byte offset takes a byte per pixel at least: what does not fit is refused before room is made for it.
    if not 0 < fast * slow <= min(nbytes, MAX_PIXELS):
        raise FileError(f"{path}: the CBF header says {fast} x {slow} pixels in {nbytes} bytes, which cannot be")
    elements = re.search(r"X-Binary-Number-of-Elements:\s*(\d+)", mime, re.IGNORECASE)
    if elements is not None and int(elements.group(1)) != fast * slow:
        raise FileError(f"{path}: the CBF header says {fast} x {slow} pixels and {elements.group(1)} elements")
    return CbfBinary(start, nbytes, (slow, fast), known, element_type)
