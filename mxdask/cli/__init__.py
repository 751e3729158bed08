"""The ``mxdask`` command: words → parameters → step → files. No algorithm lives here.

Nothing heavy is imported before the command is known, so that ``mxdask --help`` is instant.
"""

from __future__ import annotations

import sys

COMMANDS: dict[str, tuple[str, str]] = {
    "process": ("DATA...", "images of any number of crystals to merged intensities and a report"),
    "demo": ("[DIR]", "simulate a small data set with known truth, process it, compare"),
    "import": ("FILES...", "read image headers              -> imported.expt"),
    "find_spots": ("imported.expt", "find strong spots               -> strong.refl"),
    "index": ("imported.expt strong.refl", "find the lattices               -> indexed.expt indexed.refl"),
    "refine": ("indexed.expt indexed.refl", "refine crystals and geometry    -> refined.expt refined.refl"),
    "integrate": ("refined.expt refined.refl", "measure all reflections         -> integrated.expt integrated.refl"),
    "cosym": ("integrated.expt .refl...", "symmetry and indexing of many   -> symmetrized.expt symmetrized.refl"),
    "symmetry": ("integrated.expt .refl", "Laue and space group of one     -> symmetrized.expt symmetrized.refl"),
    "scale": ("symmetrized.expt .refl", "put all on one scale            -> scaled.expt scaled.refl"),
    "merge": ("scaled.expt scaled.refl", "merge                           -> merged.mtz"),
    "export": ("scaled.expt scaled.refl", "unmerged data                   -> scaled.mtz"),
    "convert": ("imported.expt", "copy images to Zarr             -> SWEEP.zarr converted.expt"),
    "show": ("FILES...", "print what .expt, .refl and image files hold"),
    "report": ("[DIR]", "make report.html anew from a run directory"),
}

OPTIONS = """options:
  --scheduler WHERE   threads (default), processes, sync, tcp://host:8786 or a scheduler file
  --workers N         threads or processes to use (default: all cores)
  --output-dir DIR    where files are written (default: the current folder)
  --debug             show the traceback of an error
  --help              this text; after a command, all its parameters"""


def usage() -> str:
    """The text of ``mxdask --help``."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name.ljust(width)}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: mxdask COMMAND files... name=value ... [options]", "", "commands:", *lines, "", OPTIONS])


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
