"""The ``mxdask`` command: words → parameters → step → files. No algorithm lives here.

Nothing heavy is imported before the command is known, so that ``mxdask --help`` is instant.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command: what it takes, what it is for, who does it (``module:function``), its ``module:Params`` class."""

    files: str
    what: str
    handler: str
    params: str | None = None


_STEP = "mxdask.cli.steps:run_one"

# In the order of ``mxdask --help``.
GROUPS: dict[str, dict[str, Command]] = {
    "everything at once": {
        "process": Command(
            "DATA...",
            "images of any number of crystals to merged intensities and a report",
            "mxdask.cli.process:run_process",
            "mxdask.pipeline_params:Params",
        ),
        "multiplex": Command(
            "FILES...",
            "integrated crystals to the data sets they really are, each scaled and merged",
            "mxdask.cli.multiplex:run_multiplex",
            "mxdask.multiplex.params:Params",
        ),
        "watch": Command(
            "DIR",
            "process sweeps as they appear in a folder, keep the result and a live page up to date",
            "mxdask.cli.watch:run_watch",
            "mxdask.watching.params:Params",
        ),
        "demo": Command(
            "[DIR]",
            "simulate a small data set with known truth, process it, compare",
            "mxdask.cli.demo:run_demo",
            "mxdask.simulate.params:Params",
        ),
    },
    "step by step": {
        "import": Command(
            "FILES...", "read image headers              -> imported.expt", _STEP, "mxdask.importing.params:Params"
        ),
        "find_spots": Command(
            "imported.expt", "find strong spots               -> strong.refl", _STEP, "mxdask.spots.params:Params"
        ),
        "index": Command(
            "imported.expt strong.refl",
            "find the lattices               -> indexed.expt indexed.refl",
            _STEP,
            "mxdask.index.params:Params",
        ),
        "refine": Command(
            "indexed.expt indexed.refl",
            "refine crystals and geometry    -> refined.expt refined.refl",
            _STEP,
            "mxdask.refine.params:Params",
        ),
        "integrate": Command(
            "refined.expt refined.refl",
            "measure all reflections         -> integrated.expt integrated.refl",
            _STEP,
            "mxdask.integrate.params:Params",
        ),
        "cosym": Command(
            "integrated.expt .refl...",
            "symmetry and indexing of many   -> symmetrized.expt symmetrized.refl",
            _STEP,
            "mxdask.cosym.params:Params",
        ),
        "symmetry": Command(
            "integrated.expt .refl",
            "Laue and space group of one     -> symmetrized.expt symmetrized.refl",
            _STEP,
            "mxdask.symmetry.params:Params",
        ),
        "scale": Command(
            "symmetrized.expt .refl",
            "put all on one scale            -> scaled.expt scaled.refl",
            _STEP,
            "mxdask.scale.params:Params",
        ),
        "merge": Command(
            "scaled.expt scaled.refl",
            "merge                           -> merged.mtz",
            "mxdask.cli.exchange:run_merge",
            "mxdask.merge.params:Params",
        ),
        "export": Command(
            "scaled.expt scaled.refl",
            "data for other programs         -> scaled.mtz, .cif, .HKL, .hkl, .sca, .json",
            "mxdask.cli.exchange:run_export",
            "mxdask.merge.export_params:Params",
        ),
        "predict": Command(
            "refined.expt",
            "where reflections are expected  -> predicted.refl",
            "mxdask.cli.prediction:run_predict",
            "mxdask.integrate.predict_params:Params",
        ),
        "create_profile_model": Command(
            "refined.expt refined.refl",
            "widths of the reflections       -> models_with_profiles.expt",
            "mxdask.cli.prediction:run_create_profile_model",
            "mxdask.integrate.params:Params",
        ),
        "two_theta_refine": Command(
            "integrated.expt .refl",
            "average cell with esds          -> refined_cell.expt",
            "mxdask.cli.two_theta_refine:run_two_theta_refine",
            "mxdask.twotheta.params:Params",
        ),
    },
    "images and masks": {
        "convert": Command(
            "imported.expt",
            "copy images to Zarr             -> SWEEP.zarr converted.expt",
            "mxdask.cli.convert:run_convert",
            "mxdask.cli.convert:Params",
        ),
        "verify": Command(
            "converted.expt [imported.expt]",
            "compare Zarr stores with checksums and with the images they were made from",
            "mxdask.cli.convert:run_verify",
            "mxdask.cli.convert:VerifyParams",
        ),
        "generate_mask": Command(
            "imported.expt [SHAPES.yaml|.phil]",
            "mask shapes, borders, resolution -> pixels.mask",
            "mxdask.cli.masks:run_generate_mask",
            "mxdask.cli.masks:GenerateParams",
        ),
        "apply_mask": Command(
            "imported.expt pixels.mask...",
            "attach masks to experiments     -> masked.expt",
            "mxdask.cli.masks:run_apply_mask",
            "mxdask.cli.masks:ApplyParams",
        ),
        "show_mask": Command(
            "imported.expt",
            "which pixels are masked and why -> mask.png mask.json",
            "mxdask.cli.mask_views:run_show_mask",
            "mxdask.cli.mask_views:ShowParams",
        ),
        "shadow_plot": Command(
            "imported.expt",
            "shadow of the goniometer against the scan angle",
            "mxdask.cli.mask_views:run_shadow_plot",
            "mxdask.cli.mask_views:PlotParams",
        ),
    },
    "lattices and symmetry": {
        "refine_bravais_settings": Command(
            "indexed.expt indexed.refl",
            "refine in every Bravais setting -> bravais_setting_N.expt bravais_summary.json",
            "mxdask.cli.bravais:run_bravais",
            "mxdask.bravais.params:Params",
        ),
        "rbs": Command(
            "indexed.expt indexed.refl",
            "short for refine_bravais_settings",
            "mxdask.cli.bravais:run_bravais",
            "mxdask.bravais.params:Params",
        ),
        "check_indexing_symmetry": Command(
            "indexed.expt indexed.refl",
            "do symmetry mates and offset indices correlate?",
            "mxdask.cli.lattice_checks:run_check_symmetry",
            "mxdask.bravais.indexing_symmetry:Params",
        ),
        "compare_orientation_matrices": Command(
            "indexed.expt",
            "rotations between crystals, modulo symmetry",
            "mxdask.cli.lattice_checks:run_compare",
            "mxdask.bravais.orientations:Params",
        ),
        "cluster_unit_cell": Command(
            "X.expt [X.refl]",
            "group crystals by cell           -> cluster_unit_cell.html, cluster_N.expt",
            "mxdask.cli.clustering:run_cluster",
            "mxdask.clustering.params:ClusterParams",
        ),
        "correlation_matrix": Command(
            "symmetrized.expt symmetrized.refl",
            "correlations of crystals, trees and groups -> html, json",
            "mxdask.cli.multiplex:run_correlation",
            "mxdask.multiplex.correlation_params:Params",
        ),
        "unit_cell_histogram": Command(
            "X.expt",
            "cells of all crystals            -> unit_cell_histogram.html",
            "mxdask.cli.clustering:run_histogram",
            "mxdask.clustering.params:HistogramParams",
        ),
        "stereographic_projection": Command(
            "X.expt",
            "orientations of all crystals     -> stereographic_projection.html",
            "mxdask.cli.clustering:run_projection",
            "mxdask.clustering.params:ProjectionParams",
        ),
        "plot_scan_varying_model": Command(
            "refined.expt",
            "cells, orientations along sweeps -> scan_varying_model.html .json",
            "mxdask.cli.scan_varying:run_plot",
            "mxdask.lists.scan_varying:Params",
        ),
    },
    "data of other programs": {
        "import_xds": Command(
            "XDS_ASCII.HKL|INTEGRATE.HKL|FOLDER...",
            "reflections of XDS              -> integrated.expt integrated.refl",
            "mxdask.cli.exchange:run_import",
            "mxdask.exchange.params:Params",
        ),
        "import_mtz": Command(
            "UNMERGED.mtz...",
            "unmerged MTZ files              -> integrated.expt integrated.refl",
            "mxdask.cli.exchange:run_import",
            "mxdask.exchange.params:Params",
        ),
    },
    "lists": {
        "combine_experiments": Command(
            "A.expt A.refl B.expt ...",
            "many lists into one             -> combined.expt combined.refl",
            "mxdask.cli.lists:run_combine",
            "mxdask.lists.combine:Params",
        ),
        "split_experiments": Command(
            "X.expt [X.refl]",
            "one file per crystal, chunk ...  -> split_N.expt split_N.refl",
            "mxdask.cli.lists:run_split",
            "mxdask.lists.split:Params",
        ),
        "slice_sequence": Command(
            "X.expt [X.refl]",
            "part of the images, or blocks    -> X_FIRST_LAST.expt .refl",
            "mxdask.cli.lists:run_slice",
            "mxdask.lists.slicing:Params",
        ),
        "filter_reflections": Command(
            "X.refl [X.expt]",
            "by flags, resolution, ice ...    -> filtered.refl",
            "mxdask.cli.lists:run_filter",
            "mxdask.lists.filtering:Params",
        ),
        "reindex": Command(
            "X.expt [X.refl]",
            "other axes, or as a reference    -> reindexed.expt reindexed.refl",
            "mxdask.cli.reindex:run_reindex",
            "mxdask.lists.reindexing:Params",
        ),
        "assign_experiment_identifiers": Command(
            "X.expt [X.refl]",
            "new identifiers                  -> assigned.expt assigned.refl",
            "mxdask.cli.lists:run_assign",
            "mxdask.lists.identifiers:Params",
        ),
        "modify_geometry": Command(
            "X.expt",
            "override models                  -> modified.expt",
            "mxdask.cli.lists:run_modify",
            "mxdask.lists.modify:Params",
        ),
        "modify_experiments": Command(
            "X.expt",
            "the same as modify_geometry",
            "mxdask.cli.lists:run_modify",
            "mxdask.lists.modify:Params",
        ),
        "merge_reflection_lists": Command(
            "A.refl B.refl ...",
            "join tables                      -> merged.refl",
            "mxdask.cli.lists:run_merge_lists",
            "mxdask.lists.tables:MergeParams",
        ),
        "sort_reflections": Command(
            "X.refl",
            "sort by a column                 -> sorted.refl",
            "mxdask.cli.lists:run_sort",
            "mxdask.lists.tables:SortParams",
        ),
    },
    "judging images and spots": {
        "search_beam_position": Command(
            "imported.expt strong.refl",
            "where the beam meets the detector -> optimised.expt",
            "mxdask.cli.beam:run_search",
            "mxdask.beamposition.params:Params",
        ),
        "spot_counts_per_image": Command(
            "imported.expt strong.refl",
            "spots, intensity and resolution of every image",
            "mxdask.cli.spot_tools:run_counts",
            "mxdask.cli.spot_tools:CountsParams",
        ),
        "detect_blanks": Command(
            "imported.expt strong.refl",
            "images without diffraction      -> blanks.json",
            "mxdask.cli.spot_tools:run_blanks",
            "mxdask.cli.spot_tools:BlanksParams",
        ),
        "estimate_gain": Command(
            "imported.expt",
            "detector gain from the scatter of the background",
            "mxdask.cli.pixel_tools:run_gain",
            "mxdask.cli.pixel_tools:GainParams",
        ),
        "find_hot_pixels": Command(
            "imported.expt strong.refl",
            "pixels strong on every image    -> hot_pixels.pickle",
            "mxdask.cli.pixel_tools:run_hot",
            "mxdask.cli.pixel_tools:HotParams",
        ),
        "find_bad_pixels": Command(
            "imported.expt",
            "pixels strong on many images    -> pixels.mask",
            "mxdask.cli.pixel_tools:run_bad",
            "mxdask.cli.pixel_tools:BadParams",
        ),
        "image_average": Command(
            "imported.expt",
            "mean, sigma and maximum of all images -> SWEEP_average.npz",
            "mxdask.cli.pixel_tools:run_average",
            "mxdask.cli.pixel_tools:AverageParams",
        ),
    },
    "judging scaled data": {
        "compute_delta_cchalf": Command(
            "scaled.expt scaled.refl|.mtz",
            "data sets that harm, by ΔCC½     -> filtered.expt filtered.refl",
            "mxdask.cli.assess:run_delta_cchalf",
            "mxdask.assess.delta_cchalf:Params",
        ),
        "estimate_resolution": Command(
            "scaled.expt scaled.refl|.mtz",
            "how far the data are good       -> estimate_resolution.html",
            "mxdask.cli.assess:run_resolution",
            "mxdask.assess.resolution:Params",
        ),
        "merging_statistics": Command(
            "scaled.expt scaled.refl|.mtz",
            "Table 1 and all shells          -> merging_statistics.html",
            "mxdask.cli.assess:run_statistics",
            "mxdask.assess.merging:Params",
        ),
        "damage_analysis": Command(
            "scaled.expt scaled.refl|.mtz",
            "Rcp, Scp, Rd against dose       -> damage_analysis.html",
            "mxdask.cli.assess:run_damage",
            "mxdask.assess.damage_analysis:Params",
        ),
        "wilson": Command(
            "scaled.expt scaled.refl|.mtz",
            "Wilson plot and B               -> wilson.html",
            "mxdask.cli.assess:run_wilson",
            "mxdask.assess.distribution:WilsonParams",
        ),
        "twinning": Command(
            "scaled.expt scaled.refl|.mtz",
            "L-test, moments, twin laws      -> twinning.html",
            "mxdask.cli.assess:run_twinning",
            "mxdask.assess.distribution:TwinningParams",
        ),
        "compare_merging_stats": Command(
            "A.mtz B.mtz...|A.expt B.expt A.refl B.refl",
            "Table 1 of data sets side by side -> compare_merging_stats.html",
            "mxdask.cli.assess:run_compare",
            "mxdask.assess.comparing:Params",
        ),
        "missing_reflections": Command(
            "scaled.expt scaled.refl|.mtz",
            "regions that were not measured  -> missing_reflections.json",
            "mxdask.cli.assess:run_missing",
            "mxdask.assess.missing:Params",
        ),
    },
    "looking": {
        "show": Command("FILES...", "print what .expt, .refl and image files hold", "mxdask.cli.show:run_show"),
        "report": Command("[DIR]", "make report.html anew from a run directory", "mxdask.cli.process:run_report"),
    },
}
COMMANDS: dict[str, Command] = {name: command for group in GROUPS.values() for name, command in group.items()}

OPTIONS = """options:
  --scheduler WHERE   threads (default), processes, sync, tcp://host:8786 or a scheduler file
  --workers N         threads or processes to use (default: all cores)
  --output-dir DIR    where files are written (default: the current folder)
  --debug             show the traceback of an error
  --help              this text; after a command, all its parameters"""


def usage() -> str:
    """The text of ``mxdask --help``."""
    width = max(len(name) for name in COMMANDS)
    lines = ["usage: mxdask COMMAND files... name=value ... [options]"]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name.ljust(width)}  {c.what}" for name, c in commands.items())]
    return "\n".join([*lines, "", OPTIONS])


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 done, 1 a clear error, 2 wrong usage."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("--help", "-h", "help"):
        print(usage())
        return 0
    if words[0] in ("--version", "version"):
        from mxdask import __version__

        print(f"mxdask {__version__}")
        return 0
    if words[0] not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; `mxdask --help` lists the commands"
        print(f"mxdask: there is no command {words[0]!r}{hint}", file=sys.stderr)
        return 2
    from mxdask.cli.dispatch import dispatch

    return dispatch(words[0], words[1:])
