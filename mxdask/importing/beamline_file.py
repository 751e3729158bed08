"""A user's table of beamlines: what the headers of a detector get wrong or leave out, by its serial number.

TOML (or the same as JSON)::

    [detector."E-32-0123"]           # serial number as the image header has it
    name = "P99"
    axis = [0, 1, 0]                 # of a single-axis goniometer
    invert_rotation_axis = false
    mask = "masks/beamstop.npz"      # beside this file, unless absolute
    trusted_range = [0, 60000]       # both ends included
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from mxdask.errors import FileError
from mxdask.io.beamlines import names_serial
from mxdask.io.image_header import ImageHeader
from mxdask.models import Detector, Goniometer
from mxdask.params import StepParams


class Entry(StepParams):
    """What the table says of one detector."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str = Field(default="", description="Name of the beamline")
    axis: tuple[float, float, float] | None = Field(
        default=None, description="Rotation axis of a single-axis goniometer"
    )
    invert_rotation_axis: bool = Field(default=False, description="Turn the rotation axis round")
    mask: str | None = Field(default=None, description="Mask file, beside the table unless absolute")
    trusted_range: tuple[float, float] | None = Field(default=None, description="Raw values, both ends included")


def read_table(path: str | Path) -> dict[str, Entry]:
    """Entries by serial number, in the file's order.

    Raises
    ------
    FileError : missing, not TOML or JSON, or an entry with unknown keys or values that do not fit.
    """
    path = Path(path).expanduser().resolve()
    try:
        text = path.read_text()
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise FileError(f"{path}: table of beamlines cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise FileError(f"{path}: not {'JSON' if path.suffix == '.json' else 'TOML'} ({error})") from error
    entries = content.get("detector") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or set(content) != {"detector"}:
        raise FileError(f'{path}: one section [detector."SERIAL NUMBER"] per detector is needed')
    out = {}
    for serial, values in entries.items():
        try:
            entry = Entry.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise FileError(f"{path}: detector {serial}: {where}: {first['msg'].lower()}") from error
        if entry.axis is not None and not np.linalg.norm(entry.axis) > 0:
            raise FileError(f"{path}: detector {serial}: axis {entry.axis} has no length")
        if entry.mask is not None:
            mask = path.parent / entry.mask
            if not mask.exists():
                raise FileError(f"{path}: detector {serial}: mask {mask} does not exist")
            entry = entry.model_copy(update={"mask": str(mask)})
        out[serial] = entry
    return out


def corrected(header: ImageHeader, table: dict[str, Entry]) -> ImageHeader:
    """The header as the first entry that names its detector would have it."""
    for serial, entry in table.items():
        if names_serial(serial, header.serial):
            return _apply(header, serial, entry)
    return header


def _apply(header: ImageHeader, serial: str, entry: Entry) -> ImageHeader:
    values: dict[str, Any] = {}
    goniometer = header.goniometer
    if entry.axis is not None and (goniometer is None or not goniometer.is_multi_axis):
        goniometer = Goniometer.single_axis(np.array(entry.axis) / np.linalg.norm(entry.axis))
    if entry.invert_rotation_axis and goniometer is not None:
        goniometer = goniometer.with_scan_axis_inverted()
    values["goniometer"] = goniometer
    if entry.trusted_range is not None:
        panels = tuple(replace(p, trusted_range=entry.trusted_range) for p in header.detector.panels)
        values["detector"] = Detector(panels, header.detector.hierarchy)
    if entry.mask is not None:
        values["lookups"] = header.lookups | {"mask": entry.mask}
    label = f" ({entry.name})" if entry.name else ""
    used = [k for k in ("axis", "invert_rotation_axis", "mask", "trusted_range") if k in entry.model_fields_set]
    notes = (*header.notes, f"detector {serial}{label}: {', '.join(used) or 'nothing'} from the table of beamlines")
    return replace(header, notes=notes, **values)
