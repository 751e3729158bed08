"""XDS_ASCII.HKL and INTEGRATE.HKL as experiments with reflections.

XDS gives all vectors in a laboratory frame of the user's choice; here it is turned so that the beam travels along -z
and the spindle is x as far as that allows (front.md 0.1).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.exchange.observed import Observed, diffracted, reflection_table
from mxdask.exchange.plane import right_angled
from mxdask.io.xds_ascii import XdsHkl, read_xds_hkl
from mxdask.io.xparm import read_xparm
from mxdask.models import Beam, Crystal, Detector, Experiment, Goniometer, ImageSet, Panel, Scan, new_identifier
from mxdask.models.crystal import hall_of
from mxdask.table import ReflectionTable

_NEEDED = {
    "ROTATION_AXIS": 3, "OSCILLATION_RANGE": 1, "STARTING_ANGLE": 1, "STARTING_FRAME": 1, "SPACE_GROUP_NUMBER": 1,
    "UNIT_CELL_A-AXIS": 3, "UNIT_CELL_B-AXIS": 3, "UNIT_CELL_C-AXIS": 3, "X-RAY_WAVELENGTH": 1,
    "INCIDENT_BEAM_DIRECTION": 3, "NX": 1, "NY": 1, "QX": 1, "QY": 1, "ORGX": 1, "ORGY": 1, "DETECTOR_DISTANCE": 1,
    "DIRECTION_OF_DETECTOR_X-AXIS": 3, "DIRECTION_OF_DETECTOR_Y-AXIS": 3,
}  # fmt: skip
_log = logging.getLogger(__name__)
_MAX_OFF = 3.0  # degrees between predicted and recorded ray; more is no error of refinement


def read_xds(path: str | Path, xparm: str | Path | None = None) -> tuple[Experiment, ReflectionTable]:
    """Experiment and reflections (id 0) of one reflection file of XDS.

    Parameters
    ----------
    path : XDS_ASCII.HKL or INTEGRATE.HKL.
    xparm : GXPARM.XDS or XPARM.XDS with the geometry the header lacks; default: one beside the file.

    Raises
    ------
    FileError : the file is not what it should be, or its geometry is incomplete.
    """
    hkl = _with_geometry(read_xds_hkl(path), xparm)
    vectors = {name: hkl.numbers(name, count) for name, count in _NEEDED.items()}
    missing = [name for name, value in vectors.items() if value is None]
    if missing:
        raise FileError(
            f"{path}: the header has no {', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}; give "
            "XDS_ASCII.HKL of CORRECT or INTEGRATE.HKL with GXPARM.XDS beside it (XSCALE's output has no geometry)"
        )
    given = {name: value for name, value in vectors.items() if value is not None}
    # Files that DIALS or mxdask wrote count pixels from 0 at the corner of the first one.
    half = 0.0 if hkl.header.get("GENERATED_BY", "").startswith(("dials", "mxdask")) else 0.5
    experiment = _experiment(hkl, given, half)
    observed = _observed(hkl, half)
    if len(observed) == 0:
        raise FileError(f"{path}: no reflection has a positive sigma")
    return experiment, reflection_table(experiment, observed, oriented=_is_oriented(hkl, experiment, observed))


def _with_geometry(hkl: XdsHkl, xparm: str | Path | None) -> XdsHkl:
    """The file with what its header lacks from a file of parameters."""
    if xparm is None:
        if all(name in hkl.header for name in _NEEDED):
            return hkl
        folder = Path(hkl.path).parent
        names = ("GXPARM.XDS", "XPARM.XDS") if hkl.kind == "XDS_ASCII" else ("XPARM.XDS", "GXPARM.XDS")
        xparm = next((folder / name for name in names if (folder / name).is_file()), None)
        if xparm is None:
            return hkl
    return replace(hkl, header=read_xparm(xparm) | hkl.header)


def _experiment(hkl: XdsHkl, given: dict[str, np.ndarray], half: float) -> Experiment:
    turn = _laboratory(given["INCIDENT_BEAM_DIRECTION"], given["ROTATION_AXIS"])
    one = {name: float(value[0]) for name, value in given.items()}
    real = np.stack([given[f"UNIT_CELL_{axis}-AXIS"] for axis in "ABC"]) @ turn.T
    group = gemmi.SpaceGroup(max(int(one["SPACE_GROUP_NUMBER"]), 1))
    fast, slow = right_angled(given["DIRECTION_OF_DETECTOR_X-AXIS"], given["DIRECTION_OF_DETECTOR_Y-AXIS"])
    origin = (
        one["DETECTOR_DISTANCE"] * np.cross(fast, slow)
        - (one["ORGX"] - half) * one["QX"] * fast
        - (one["ORGY"] - half) * one["QY"] * slow
    )
    panel = Panel(
        turn @ fast, turn @ slow, turn @ origin, (int(one["NX"]), int(one["NY"])), (one["QX"], one["QY"]),
    )  # fmt: skip
    first, last = _image_range(hkl, int(one["STARTING_FRAME"]))
    width = one["OSCILLATION_RANGE"]
    start = one["STARTING_ANGLE"] + (first - one["STARTING_FRAME"]) * width
    n = last - first + 1
    return Experiment(
        new_identifier(), ImageSet(_template(hkl), single_file_indices=None),
        Beam(-turn @ given["INCIDENT_BEAM_DIRECTION"], one["X-RAY_WAVELENGTH"]), Detector((panel,)),
        Goniometer.single_axis(turn @ given["ROTATION_AXIS"]),
        Scan((first, last), (start, width), exposure_times=(0.0,) * n, epochs=(0.0,) * n),
        Crystal(real, hall_of(group)),
    )  # fmt: skip


def _laboratory(beam: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(3, 3) rotation from XDS's frame: the beam along -z, the spindle in the xz plane with positive x."""
    z = -beam / np.linalg.norm(beam)
    x = axis - (axis @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _image_range(hkl: XdsHkl, start: int) -> tuple[int, int]:
    listed = hkl.numbers("DATA_RANGE", 2)
    if listed is not None:
        return int(listed[0]), int(listed[1])
    z = hkl.items["ZD" if hkl.kind == "XDS_ASCII" else "ZCAL"]
    return start, max(int(np.ceil(z.max())), start)


def _template(hkl: XdsHkl) -> str:
    """Of the images, as XDS names them; else the reflection file, so that tables can tell crystals apart."""
    words = hkl.header.get("NAME_TEMPLATE_OF_DATA_FRAMES", "").split()
    if words:
        return str((Path(hkl.path).parent / words[0].replace("?", "#")).absolute())
    path = Path(hkl.path).absolute()
    name = path.stem if path.stem not in ("XDS_ASCII", "INTEGRATE") else f"{path.parent.name}_{path.stem}"
    return str(path.with_name(f"{name}_####.cbf"))


def _observed(hkl: XdsHkl, half: float) -> Observed:
    """Reflections with positive sigma; XDS marks those it rejects by a negative one."""
    position = ("XD", "YD", "ZD") if hkl.kind == "XDS_ASCII" else ("XCAL", "YCAL", "ZCAL")
    good = (hkl.items["SIGMA"] > 0) & np.isfinite(hkl.items["IOBS"])
    items = {name: values[good] for name, values in hkl.items.items()}
    n = int(good.sum())
    # RLP is the reciprocal of the Lorentz-polarisation factor, by which counts were multiplied.
    correction = items.get("RLP", np.ones(n))
    xyz = np.column_stack([items[position[0]] - half, items[position[1]] - half, items[position[2]]])
    peak = np.clip(items["PEAK"] / 100.0, 0.0, 1.0) if "PEAK" in items else np.ones(n)
    return Observed(
        np.column_stack([items[i] for i in "HKL"]).astype(np.int32), xyz, items["IOBS"], items["SIGMA"],
        np.where(correction > 0, correction, 1.0), peak, items["CORR"] / 100.0 if "CORR" in items else None,
    )  # fmt: skip


def _is_oriented(hkl: XdsHkl, experiment: Experiment, observed: Observed) -> bool:
    """Whether the axes in the header put the reflections where the file says they were seen.

    DIALS leaves the goniometer's settings out of the axes it exports: with more than one goniometer axis the
    orientation is lost, the intensities are right all the same.

    Raises
    ------
    FileError : they do not, in a file of XDS.
    """
    detector = experiment.detector
    assert detector is not None
    s1 = diffracted(experiment, observed.hkl, observed.xyz[:, 2])
    seen: Any = detector[0].lab_coord(detector[0].pixel_to_mm(observed.xyz[:, :2]))
    cosine = np.sum(s1 * seen, axis=1) / (np.linalg.norm(s1, axis=1) * np.linalg.norm(seen, axis=1))
    off = float(np.median(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))))
    if off <= _MAX_OFF:
        return True
    found = (
        f"{hkl.path}: cell axes and geometry of the header put the reflections {off:.1f}° from where they are listed"
    )
    if hkl.header.get("GENERATED_BY", "").startswith("dials"):
        _log.warning("%s; directions are left out, scaling cannot correct for absorption", found)
        return False
    raise FileError(f"{found}; header and reflections do not belong together")
