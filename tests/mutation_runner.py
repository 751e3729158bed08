"""Import and read mutated files in a process of its own: ``python mutation_runner.py cases.json``.

One line of JSON before and one after each case, so that the parent knows which one killed or stopped the process.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import traceback
from types import FrameType
from typing import Any

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.images import open_stack
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.params import parse

SECONDS = 10
ROOM = 3 * 2**30  # bytes of address space on top of what is used at the start


def outcome(files: list[str], words: list[str], find: bool) -> dict[str, Any]:
    """What a user would be told."""
    said: list[str] = []
    try:
        params = parse(Params, words)
        assert isinstance(params, Params)
        with Flow("sync") as flow:
            experiments, summary = run(files, params, flow=flow)
            said += [row["reason"] for row in summary["rows"] if row["status"] != "ok"]
            said += [note for row in summary["rows"] for note in row.get("notes", []) if "only images" in note]
            for experiment in experiments:
                stack = open_stack(experiment)
                stack.mask()
                with stack.reader() as reader:
                    for z in range(*stack.array_range):
                        try:
                            reader.read(z)
                        except MxdaskError as error:
                            said.append(str(error))
            if find:
                from mxdask.spots.params import Params as SpotParams
                from mxdask.spots.step import run as find_spots

                find_spots(experiments, None, SpotParams(), flow=flow)
    except MxdaskError as error:
        said.append(str(error))
    except (Exception, KeyboardInterrupt):  # noqa: BLE001  a defect: the test shows it
        return {"defect": traceback.format_exc()[-1500:]}
    return {"said": said}


def _too_long(number: int, frame: FrameType | None) -> None:
    traceback.print_stack(frame)
    os._exit(99)


def main() -> None:
    logging.disable(logging.CRITICAL)
    with open(sys.argv[1]) as file:
        cases = json.load(file)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _too_long)
    for number, case in enumerate(cases):
        print(json.dumps({"begin": case["name"]}), flush=True)
        signal.alarm(SECONDS)
        result = outcome(case["files"], case["words"], number % 10 == 0)
        signal.alarm(0)
        print(json.dumps({"end": case["name"], **result}), flush=True)


if __name__ == "__main__":
    main()
