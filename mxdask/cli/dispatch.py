"""From the words of a command to the function that does it, and from errors to exit codes."""

from __future__ import annotations

import glob
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mxdask.cli import COMMANDS, OPTIONS
from mxdask.errors import MxdaskError, ParameterError


@dataclass
class Words:
    """A command line, sorted: files, ``name=value`` words, options."""

    files: list[str] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)
    scheduler: str = "threads"
    workers: int | None = None
    output_dir: Path = Path(".")
    debug: bool = False
    help: bool = False


def sort_words(words: Sequence[str]) -> Words:
    """Tell files, parameters and options apart (a word with ``=`` is a parameter unless a file has that name)."""
    out = Words()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, separator, value = word.partition("=")
        if word in ("--help", "-h"):
            out.help = True
        elif word == "--debug":
            out.debug = True
        elif name in ("--scheduler", "--workers", "--output-dir"):
            if not separator:
                if not rest:
                    raise ParameterError(f"{name} needs a value")
                value = rest.pop(0)
            _set_option(out, name, value)
        elif word.startswith("-") and not os.path.exists(word):
            raise ParameterError(f"there is no option {word}; --help lists them")
        elif separator and not os.path.exists(word):
            out.assignments.append(word)
        else:
            out.files += _expanded(word)
    return out


def take_phil_files(words: Words) -> None:
    """Parameters from the .phil files among the words; those on the command line win."""
    files = [f for f in words.files if f.endswith(".phil")]
    if files:
        from mxdask.io.phil import assignments, read_phil

        words.files = [f for f in words.files if f not in files]
        words.assignments = [a for f in files for a in assignments(read_phil(f))] + words.assignments


def _expanded(word: str) -> list[str]:
    """The files a word stands for: a quoted wildcard, which no shell has expanded, is expanded here."""
    if os.path.exists(word) or not glob.has_magic(word):
        return [word]
    return sorted(glob.glob(os.path.expanduser(word))) or [word]


def _set_option(out: Words, name: str, value: str) -> None:
    if name == "--scheduler":
        out.scheduler = value
    elif name == "--output-dir":
        out.output_dir = Path(value)
    elif value.isdigit() and int(value) > 0:
        out.workers = int(value)
    else:
        raise ParameterError(f"--workers {value}: a number of at least 1 is needed")


def dispatch(command: str, words: Sequence[str]) -> int:
    """Run one command; every expected error is one line on standard error."""
    debug = "--debug" in words
    if debug:
        logging.getLogger("mxdask").setLevel(logging.DEBUG)
    try:
        sorted_words = sort_words(words)
        if sorted_words.help:
            print(_help(command))
            return 0
        if command != "generate_mask":  # which takes shapes from such files
            take_phil_files(sorted_words)
        _function(command)(command, sorted_words)
        return 0
    except ParameterError as error:
        return _complain(command, error, 2, debug)
    except MxdaskError as error:
        return _complain(command, error, 1, debug)
    except KeyboardInterrupt:
        print(f"mxdask {command}: stopped; run it again to go on where it was", file=sys.stderr)
        return 1
    except OSError as error:
        return _complain(command, MxdaskError(f"{error.filename or 'a file'}: {error.strerror or error}"), 1, debug)
    except Exception as error:  # noqa: BLE001  a defect of ours: say so in one line, with the way to the details
        if debug:
            traceback.print_exc()
        print(
            f"mxdask {command}: internal error ({type(error).__name__}: {error}); --debug shows where", file=sys.stderr
        )
        return 1


def _complain(command: str, error: MxdaskError, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"mxdask {command}: {error}", file=sys.stderr)
    return code


def _function(command: str) -> Callable[[str, Words], None]:
    module, name = COMMANDS[command].handler.split(":")
    function: Callable[[str, Words], None] = getattr(importlib.import_module(module), name)
    return function


def _help(command: str) -> str:
    """Usage of one command with every parameter, its default and unit."""
    entry = COMMANDS[command]
    head = f"usage: mxdask {command} {entry.files} name=value ... [options]\n\n{' '.join(entry.what.split())}"
    from mxdask.cli.parameters import parameters_of
    from mxdask.params import describe

    model = parameters_of(command)
    lines = []
    if model is not None:
        for p in describe(model):
            default = "Auto" if p.default is None else p.default
            shown = ",".join(str(v) for v in default) if isinstance(default, tuple | list) else str(default)
            unit = f" {p.unit}" if p.unit else ""
            lines.append(f"  {p.path}={shown}{unit}\n      {p.description}")
    return "\n".join([head, "", *(["parameters:", *lines, ""] if lines else []), OPTIONS])
