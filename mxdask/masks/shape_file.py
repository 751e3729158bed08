"""Files in which users and beamlines keep what is to be masked: YAML, JSON, or DIALS' phil.

YAML or JSON is one mapping of the names of :class:`MaskParams`, or a list of them; an entry with ``detector`` counts
only for detectors whose identifier contains that text, so that one file does for a beamline::

    - detector: S/N 60-0126
      border: 1
      untrusted:
        - polygon: [[1230, 1263], [2463, 1240], [2463, 1290], [1230, 1275]]
          reason: arm of the beam stop
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from mxdask.errors import FileError, ParameterError
from mxdask.io.phil import assignments, read_phil
from mxdask.masks.params import MaskParams
from mxdask.params import parse

SUFFIXES = (".phil", ".yaml", ".yml", ".json")


def with_shapes(params: MaskParams, path: str | Path, identifier: str) -> MaskParams:
    """The parameters and, added to them, those of a file; lists grow, single values of ``params`` that were given win.

    Parameters
    ----------
    identifier : of the detector, e.g. ``PILATUS3 6M, S/N 60-0126``.

    Raises
    ------
    FileError : the file cannot be read, or holds something that is no mask.
    """
    given = params.model_dump(exclude_unset=True)
    for entry in _entries(Path(path)):
        wanted = entry.pop("detector", "")
        if str(wanted).lower() not in identifier.lower():
            continue
        try:
            found = MaskParams.model_validate(entry).model_dump(exclude_unset=True)
        except ValueError as error:
            raise FileError(f"{path}: {_first_line(error)}") from None
        given = _joined(found, given)
    return MaskParams.model_validate(given)


def _joined(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    out = found | given
    for name in ("untrusted", "resolution_range"):
        if name in found and name in given:
            out[name] = (*given[name], *found[name])
    if "ice_rings" in found and "ice_rings" in given:
        out["ice_rings"] = found["ice_rings"] | given["ice_rings"]
    return out


def _entries(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".phil":
        try:
            words = assignments(read_phil(path), without=("input", "output"))
            return [parse(MaskParams, words).model_dump(exclude_unset=True)]
        except ParameterError as error:
            raise FileError(f"{path}: {error}") from None
    try:
        text = path.read_text()
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, yaml.YAMLError) as error:
        raise FileError(f"{path}: not {path.suffix.lstrip('.').upper()} ({_first_line(error)})") from None
    entries = content if isinstance(content, list) else [content]
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise FileError(f"{path}: a mapping of names (border, untrusted, d_min …) or a list of such is needed")
    return [dict(entry) for entry in entries]


def _first_line(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if callable(errors):
        first = errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg'].removeprefix('Value error, ')}" if where else str(first["msg"])
    return str(error).splitlines()[0]
