"""``mxdask cluster_unit_cell``, ``unit_cell_histogram``, ``stereographic_projection``."""

from __future__ import annotations

import json
import logging

import numpy as np

from mxdask.cli.dispatch import Words
from mxdask.cli.inputs import read_inputs
from mxdask.cli.lists import save, save_table
from mxdask.cli.logs import step_log
from mxdask.clustering import cell_report, pictures
from mxdask.clustering.params import ClusterParams, HistogramParams, ProjectionParams
from mxdask.clustering.projection import poles
from mxdask.clustering.unit_cells import CellLinkage, cluster_cells_of
from mxdask.errors import MxdaskError
from mxdask.io.atomic import replacing
from mxdask.lists.selecting import number_of, select_experiments
from mxdask.params import parse

log = logging.getLogger(__name__)


def _write(words: Words, name: str, text: str) -> None:
    path = words.output_dir / name
    with replacing(path) as temporary:
        temporary.write_text(text)
    log.info("wrote %s", path)


def run_cluster(command: str, words: Words) -> None:
    """Write the tree as a picture and as data, and with ``output.clusters`` the clusters' files."""
    params = parse(ClusterParams, words.assignments)
    assert isinstance(params, ClusterParams)
    experiments, reflections = read_inputs(command, words, reflections=False)
    names = [e.name for e in experiments]
    with step_log(words.output_dir, command):
        result = cluster_cells_of(experiments, CellLinkage(params.threshold, params.linkage))
        log.info("%s", cell_report.report(result))
        data = cell_report.as_data(result, names, experiments.identifiers)
        _write(words, params.output.json_file, json.dumps(data, indent=1))
        if len(experiments) > 1 and params.plot.name.lower() != "none":
            page = pictures.dendrogram_page(result.tree, names, params.threshold, logarithmic=params.plot.log)
            _write(words, params.plot.name, page)
        if params.output.clusters:
            for i, cluster in enumerate(result.clusters):
                label = number_of(i, len(result.clusters))
                part, table = select_experiments(experiments, reflections, cluster.members)
                save(command, words, part, f"cluster_{label}.expt")
                save_table(words, table, f"cluster_{label}.refl")


def run_histogram(command: str, words: Words) -> None:
    """Write ``unit_cell_histogram.html``."""
    params = parse(HistogramParams, words.assignments)
    assert isinstance(params, HistogramParams)
    experiments, _ = read_inputs(command, words, reflections=False)
    cells = np.array([e.crystal.cell for e in experiments if e.crystal is not None])
    if not len(cells):
        raise MxdaskError("no experiment has a crystal; index the data first")
    with step_log(words.output_dir, command):
        _write(words, params.output, pictures.histogram_page(cells, params.steps_per_angstrom, params.iqr_ratio))


def run_projection(command: str, words: Words) -> None:
    """Write ``stereographic_projection.html``."""
    params = parse(ProjectionParams, words.assignments)
    assert isinstance(params, ProjectionParams)
    experiments, _ = read_inputs(command, words, reflections=False)
    with step_log(words.output_dir, command):
        points = poles(experiments, params)
        _write(words, params.output, pictures.projection_page(points, [e.name for e in experiments]))
        if params.json_file is not None:
            data = [
                {"hkl": p.label, "experiment": p.row.tolist(), "index": p.hkl.tolist(), "xy": p.xy.tolist()}
                for p in points
            ]
            _write(words, params.json_file, json.dumps(data))
