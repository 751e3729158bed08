"""File names of image sequences: ``sweep_0001.cbf`` is image 1 of ``sweep_####.cbf`` (front.md 4.2)."""

from __future__ import annotations

import re
from pathlib import Path

# In order of preference: last digits before the extension, as the extension, between "_" and ".", anywhere.
_NUMBER_PATTERNS = (
    re.compile(r"^(.*?)(\d+)(\.[A-Za-z][A-Za-z0-9]*(?:\.(?:gz|bz2|xz))?)$"),
    re.compile(r"^(.*\.)(\d+)((?:\.(?:gz|bz2|xz))?)$"),
    re.compile(r"^(.*_)(\d+)(\..*)$"),
    re.compile(r"^(.*?)(\d+)(\D*)$"),
)


def template_of(path: str | Path) -> tuple[str, int] | None:
    """Template and image number of a file name, or None for a name without digits.

    Examples
    --------
    >>> template_of("/data/a_1_00012.cbf.gz")
    ('/data/a_1_#####.cbf.gz', 12)
    """
    path = Path(path)
    for pattern in _NUMBER_PATTERNS:
        match = pattern.match(path.name)
        if match:
            prefix, digits, suffix = match.groups()
            return str(path.with_name(f"{prefix}{'#' * len(digits)}{suffix}")), int(digits)
    return None


def image_path(template: str, number: int) -> str:
    """The file of image ``number``: the last run of ``#`` becomes the number, padded with zeros to the run's width."""
    match = re.search(r"#+(?=[^#]*$)", template)
    if match is None:
        return template
    return f"{template[: match.start()]}{number:0{len(match.group())}d}{template[match.end() :]}"


def natural_key(path: str | Path) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``x_2`` comes before ``x_10``."""
    parts = re.split(r"(\d+)", str(path))
    return tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts)
