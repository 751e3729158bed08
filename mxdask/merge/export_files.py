"""``mxdask export``: choose, convert, write; the names of the files are those of ``dials.export``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mxdask.intensity.merging import Unmerged, merge
from mxdask.io.atomic import replacing
from mxdask.io.expt import to_dict
from mxdask.io.mmcif import write_mmcif
from mxdask.io.mtz import write_unmerged
from mxdask.io.scalepack import write_sca_merged, write_sca_unmerged
from mxdask.io.shelx import write_hklf4, write_ins
from mxdask.io.xds_ascii import write_xds_ascii
from mxdask.merge.export import asu_with_isym, batch_numbers, batch_offsets, unmerged
from mxdask.merge.export_mmcif import unmerged_cif
from mxdask.merge.export_params import Params
from mxdask.merge.export_points import reciprocal_points
from mxdask.merge.export_shelx import instructions, scaled_to_format
from mxdask.merge.export_xds_ascii import xds_ascii
from mxdask.merge.exportable import Exportable, exportable, with_partials_apart
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable

Written = tuple[list[Path], dict[str, Any]]


def export(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path) -> Written:
    """Write the files of ``params.format`` into a folder.

    Returns
    -------
    The files written, and a summary (JSON-able).

    Raises
    ------
    MxdaskError : nothing is fit for export, or the format cannot hold it.
    """
    writers: dict[str, Callable[..., Written]] = {
        "mtz": _mtz, "mmcif": _mmcif, "xds_ascii": _xds_ascii, "shelx": _shelx, "sca": _sca, "json": _points,
    }  # fmt: skip
    files, told = writers[params.format](experiments, reflections, params, folder)
    return files, {"step": "export", "format": params.format, "files": [f.name for f in files], **told}


def _told(chosen: Exportable, **more: Any) -> dict[str, Any]:
    return {"intensity": chosen.choice, "n_observations": len(chosen.observations), **more}


def _stem(reflections: ReflectionTable | None) -> str:
    is_scaled = reflections is not None and "inverse_scale_factor" in reflections
    return "scaled" if is_scaled else "integrated"


def _mtz(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path) -> Written:
    result = unmerged(experiments, reflections, params, params.intensity)
    path = folder / (params.mtz.hklout or f"{_stem(reflections)}.mtz")
    write_unmerged(path, result.content, result.batches)
    return [path], result.content.summary


def _mmcif(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path) -> Written:
    chosen = exportable(experiments, reflections, with_partials_apart(params.mtz), params.intensity)
    compress = params.mmcif.compress
    name = params.mmcif.hklout or f"{_stem(reflections)}.cif"
    if compress and not name.endswith(f".{compress}"):
        name = f"{name}.{compress}"
    pairs, loops = unmerged_cif(chosen, params.mmcif.pdb_version)
    write_mmcif(folder / name, "mxdask", pairs, loops, compress)
    return [folder / name], _told(chosen)


def _xds_ascii(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path
) -> Written:
    chosen = exportable(experiments, reflections, params.mtz, params.intensity, unscaled=True)
    name = Path(params.xds_ascii.hklout)
    paths = []
    for row in range(len(experiments)):
        header, items = xds_ascii(chosen, row)
        paths.append(folder / (name if len(experiments) == 1 else name.with_stem(f"{name.stem}_{row}")))
        write_xds_ascii(paths[-1], header, items)
    return paths, _told(chosen)


def _shelx(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path) -> Written:
    chosen = exportable(experiments, reflections, params.mtz, params.intensity)
    told = instructions(chosen, params.shelx)
    hkl, ins = folder / params.shelx.hklout, folder / params.shelx.ins
    write_ins(ins, **told)
    write_hklf4(hkl, chosen.observations.hkl, *scaled_to_format(chosen, params.shelx))
    return [hkl, ins], _told(chosen)


def _sca(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path) -> Written:
    chosen = exportable(experiments, reflections, params.mtz, params.intensity)
    o, group = chosen.observations, chosen.space_group
    stem = _stem(reflections)
    path = folder / (params.sca.hklout or (f"{stem}.sca" if params.sca.merged else f"{stem}_unmerged.sca"))
    if params.sca.merged:
        merged = merge(Unmerged.of(o.hkl, o.intensity, o.variance, chosen.cell, group))
        plus, minus = ((side.mean, side.sigma) for side in (merged.plus, merged.minus))
        write_sca_merged(path, group, chosen.cell, hkl=merged.hkl, plus=plus, minus=minus)
        return [path], _told(chosen, n_unique=len(merged.hkl))
    hkl, isym = asu_with_isym(o.hkl, group)
    order = np.lexsort((isym, *hkl.T[::-1]))
    batch = batch_numbers(o, experiments, batch_offsets(experiments.experiments))
    centric = np.asarray(group.operations().centric_flag_array(hkl), dtype=bool)
    write_sca_unmerged(
        path, group, original=o.hkl[order], hkl=hkl[order], isym=isym[order], batch=batch[order],
        centric=centric[order], intensity=o.intensity[order], sigma=np.sqrt(o.variance)[order],
    )  # fmt: skip
    return [path], _told(chosen)


def _points(experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, folder: Path) -> Written:
    settings = params.rlp_json
    content = reciprocal_points(experiments, reflections, settings.n_digits)
    n = len(content["imageset_id"])
    content["experiments"] = to_dict(experiments)
    layout: dict[str, Any] = {"separators": (",", ":")} if settings.compact else {"indent": 1}
    path = folder / settings.filename
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, **layout))
    return [path], {"n_spots": n}
