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
            _STEP,
            "mxdask.merge.params:Params",
        ),
        "export": Command(
            "scaled.expt scaled.refl",
            "unmerged data                   -> scaled.mtz",
            _STEP,
            "mxdask.merge.params:ExportParams",
        ),
    },
    "images and masks": {
        "convert": Command(
            "imported.expt",
            "copy images to Zarr             -> SWEEP.zarr converted.expt",
            "mxdask.cli.convert:run_convert",
            "mxdask.cli.convert:Params",
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
