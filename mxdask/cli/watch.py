"""``mxdask watch``."""

from __future__ import annotations

import logging
from pathlib import Path

from mxdask.cli.dispatch import Words
from mxdask.cli.logs import step_log
from mxdask.errors import FileError, ParameterError
from mxdask.flow import Flow
from mxdask.params import parse
from mxdask.watching.params import Params
from mxdask.watching.watcher import Watcher


def run_watch(command: str, words: Words) -> None:
    """Process sweeps as they appear in a folder, and keep the result up to date."""
    params = parse(Params, words.assignments)
    assert isinstance(params, Params)
    if len(words.files) != 1:
        raise ParameterError("name the one folder to watch; `mxdask watch --help` tells what else can be said")
    folder = Path(words.files[0])
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder")
    out = words.output_dir
    with step_log(out, command), Flow(words.scheduler, n_workers=words.workers, run_dir=out) as flow:
        _only_own_lines()
        Watcher(folder.resolve(), out.resolve(), params, flow).run()


def _only_own_lines() -> None:
    """What the steps say of every sweep goes to the log file only."""
    for handler in logging.getLogger("mxdask").handlers:
        if getattr(handler, "is_terminal", False):
            handler.addFilter(logging.Filter("mxdask.watching"))
