"""XPARM.XDS and GXPARM.XDS: XDS's geometry and crystal (https://xds.mr.mpg.de/html_doc/xds_files.html)."""

from __future__ import annotations

from pathlib import Path

from mxdask.errors import FileError

# Line by line: entries under the names that headers of reflection files use, with how many numbers each has.
_NEW: tuple[tuple[tuple[str, int], ...], ...] = (
    (("STARTING_FRAME", 1), ("STARTING_ANGLE", 1), ("OSCILLATION_RANGE", 1), ("ROTATION_AXIS", 3)),
    (("X-RAY_WAVELENGTH", 1), ("INCIDENT_BEAM_DIRECTION", 3)),
    (("SPACE_GROUP_NUMBER", 1), ("UNIT_CELL_CONSTANTS", 6)),
    (("UNIT_CELL_A-AXIS", 3),), (("UNIT_CELL_B-AXIS", 3),), (("UNIT_CELL_C-AXIS", 3),),
    (("SEGMENTS", 1), ("NX", 1), ("NY", 1), ("QX", 1), ("QY", 1)),
    (("ORGX", 1), ("ORGY", 1), ("DETECTOR_DISTANCE", 1)),
    (("DIRECTION_OF_DETECTOR_X-AXIS", 3),), (("DIRECTION_OF_DETECTOR_Y-AXIS", 3),),
)  # fmt: skip
# Before 2012: no first line, the detector before the crystal.
_OLD: tuple[tuple[tuple[str, int], ...], ...] = (
    *_NEW[:2],
    (("NX", 1), ("NY", 1), ("QX", 1), ("QY", 1)),
    (("DETECTOR_DISTANCE", 1), ("ORGX", 1), ("ORGY", 1)),
    *_NEW[8:],
    (("NORMAL", 3),),
    *_NEW[2:6],
)


def read_xparm(path: str | Path) -> dict[str, str]:
    """Entries by the names of the headers of reflection files.

    Raises
    ------
    FileError : missing, or not such a file.
    """
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); give an XPARM.XDS or GXPARM.XDS") from error
    is_new = bool(lines) and lines[0].split()[:1] == ["XPARM.XDS"]
    rows = lines[1:] if is_new else lines
    out: dict[str, str] = {}
    for line, entries in zip(rows, _NEW if is_new else _OLD, strict=False):
        words = line.split()
        if len(words) < sum(count for _, count in entries):
            raise FileError(f"{path}: not an XPARM.XDS file, or a damaged one")
        for name, count in entries:
            out[name], words = " ".join(words[:count]), words[count:]
    if len(rows) < len(_NEW if is_new else _OLD):
        raise FileError(f"{path}: not an XPARM.XDS file, or truncated")
    return out
