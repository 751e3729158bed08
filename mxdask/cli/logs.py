"""What is printed also goes to ``mxdask.STEP.log``."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from mxdask.errors import FileError

LOG = logging.getLogger("mxdask")


@contextlib.contextmanager
def step_log(folder: Path, step: str) -> Iterator[None]:
    """Send everything mxdask logs to the terminal and to the step's log file while the block runs.

    The file also gets what is too long for a terminal (level DEBUG: a line per image, tracebacks of single tasks …);
    ``--debug`` shows that on the terminal, too. Nested use (``process`` around its steps) prints once and writes both
    files.
    """
    handlers: list[logging.Handler] = [_file_handler(folder, f"mxdask.{step}.log")]
    if not any(getattr(h, "is_terminal", False) for h in LOG.handlers):
        terminal = logging.StreamHandler(sys.stdout)
        terminal.is_terminal = True  # type: ignore[attr-defined]
        terminal.setLevel(LOG.level or logging.INFO)
        handlers.append(terminal)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
        LOG.addHandler(handler)
    level = LOG.level
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False
    # numpy's complaints about a crystal's numbers belong into that crystal's row, not onto the terminal.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            yield
        finally:
            LOG.setLevel(level)
            for handler in handlers:
                LOG.removeHandler(handler)
                with contextlib.suppress(OSError):
                    handler.close()


class _PatientHandler(logging.FileHandler):
    """A log that a full disk cuts short must not bury the results' own message under tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def _file_handler(folder: Path, name: str) -> logging.Handler:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _PatientHandler(folder / name, mode="w")
    except OSError as error:
        raise FileError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder with --output-dir"
        ) from error
