"""The files of ``mxdask merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mxdask.io.mmcif import write_merged_mmcif
from mxdask.io.mtz import write_merged
from mxdask.merge.params import Params
from mxdask.merge.result import MergedResult


def write_merge(result: MergedResult, params: Params, folder: Path, mtz: str = "merged.mtz") -> dict[str, Any]:
    """Write an MTZ file of the given name (and mmCIF where wanted); gives the summary with the names."""
    names = [mtz]
    write_merged(folder / mtz, result)
    if params.output.mmcif is not None:
        names.append(params.output.mmcif)
        write_merged_mmcif(folder / params.output.mmcif, folder / mtz)
    return {**result.summary, "files": names}
