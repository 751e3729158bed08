"""What gemmi, cctbx and reciprocalspaceship understand of our MTZ files: labels, types, batches, cell, symmetry."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import gemmi
import pytest

from mxdask.io.expt import read_expt
from mxdask.io.mtz import write_merged, write_unmerged
from mxdask.io.refl import read_refl
from mxdask.merge.export import unmerged
from mxdask.merge.export_params import ExportParams
from mxdask.merge.params import Params
from mxdask.merge.step import merge

pytestmark = pytest.mark.data

# What cctbx says of a file: symmetry, cell, columns with types, batches, statistics of merging.
_CCTBX = """
import sys, json, os, iotbx.mtz, iotbx.merging_statistics as statistics
out = {}
for name in sys.argv[1:]:
    mtz = iotbx.mtz.object(name)
    cell = mtz.crystals()[0].unit_cell().parameters()
    said = {"group": mtz.space_group().type().number(), "cell": cell, "n": mtz.n_reflections(),
            "columns": [[c.label(), c.type()] for c in mtz.columns()], "batches": [b.num() for b in mtz.batches()],
            "anomalous": [a.info().label_string() for a in mtz.as_miller_arrays() if a.anomalous_flag()]}
    if said["batches"]:
        data = statistics.select_data(name, data_labels=None, log=open(os.devnull, "w"))
        found = statistics.dataset_statistics(data, n_bins=10, use_internal_variance=False, eliminate_sys_absent=False)
        said["statistics"] = {k: getattr(found.overall, k) for k in ("n_obs", "n_uniq", "r_merge", "r_meas", "r_pim")}
    out[name] = said
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def written(data_dir, tmp_path_factory):
    """merged.mtz, unmerged.mtz, and merging's summary."""
    folder, out = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled", tmp_path_factory.mktemp("mtz")
    experiments, reflections = read_expt(folder / "scaled_20_25.expt"), read_refl(folder / "scaled_20_25.refl")
    flags = {"generate": True}
    merged = merge(experiments, reflections, Params(r_free_flags=flags, output={"additional_stats": True}))
    result = unmerged(experiments, reflections, ExportParams())
    write_merged(out / "merged.mtz", merged)
    write_unmerged(out / "unmerged.mtz", result.content, result.batches)
    return out / "merged.mtz", out / "unmerged.mtz", merged.summary


def test_cctbx(written: tuple[Path, Path, dict]):
    python = next((p for p in ("/usr/bin/python3",) if shutil.which(p)), "python3")
    if subprocess.run([python, "-c", "import iotbx.mtz"], capture_output=True).returncode:
        pytest.skip("no cctbx (apt-get install python3-cctbx)")
    merged, whole, summary = written
    done = subprocess.run([python, "-c", _CCTBX, str(merged), str(whole)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for name in written[:2]:
        assert said[str(name)]["group"] == 16
        assert said[str(name)]["cell"] == pytest.approx(summary["cell"], abs=1e-3)
    types = dict(said[str(merged)]["columns"])
    assert [
        types[k] for k in ("IMEAN", "SIGIMEAN", "I(+)", "SIGI(-)", "F", "F(+)", "SIGF(-)", "DANO", "FreeR_flag")
    ] == [*"JQKMFGLDI"]
    assert {"I(+),SIGI(+),I(-),SIGI(-)", "F(+),SIGF(+),F(-),SIGF(-)"} <= set(said[str(merged)]["anomalous"])
    assert said[str(merged)]["n"] == summary["n_unique"]
    # The second sweep's images begin at the next round number: 1-1800, then 1901-3600.
    batches = said[str(whole)]["batches"]
    assert batches[:1800] == list(range(1, 1801))
    assert len(set(batches)) == len(batches) == 3500
    types = dict(said[str(whole)]["columns"])
    assert (types["M_ISYM"], types["BATCH"], types["I"], types["SCALEUSED"]) == ("Y", "B", "J", "R")
    # B9: statistics of merging, by cctbx from our file and by us.
    theirs, ours = said[str(whole)]["statistics"], summary["overall"]
    assert (theirs["n_obs"], theirs["n_uniq"]) == (ours["n_obs"], ours["n_unique"])
    for their_name, our_name in (("r_merge", "Rmerge"), ("r_meas", "Rmeas"), ("r_pim", "Rpim")):
        assert theirs[their_name] == pytest.approx(ours[our_name], abs=1e-5)


def test_reciprocalspaceship(written: tuple[Path, Path, dict]):
    rs = pytest.importorskip("reciprocalspaceship")
    merged, whole, summary = written
    data = rs.read_mtz(str(merged))
    assert data.merged
    assert data.spacegroup.number == 16
    assert data.cell.parameters == pytest.approx(summary["cell"], abs=1e-3)
    assert len(data) == summary["n_unique"]
    kinds = {k: str(v) for k, v in data.dtypes.items()}
    assert kinds["IMEAN"] == "Intensity"
    assert kinds["F(+)"] == "FriedelSFAmplitude"
    assert kinds["DANO"] == "AnomalousDifference"
    observations = rs.read_mtz(str(whole))
    assert not observations.merged
    assert observations["BATCH"].nunique() > 1000


def test_gemmi(written: tuple[Path, Path, dict]):
    merged, whole, summary = written
    mtz = gemmi.read_mtz_file(str(merged))
    assert len(mtz.batches) == 0
    assert mtz.datasets[-1].wavelength == pytest.approx(summary["wavelengths"][0], abs=1e-5)
    observed = gemmi.read_mtz_file(str(whole))
    assert len(observed.batches) == 3500
    assert observed.sort_order == [1, 2, 3, 4, 5]
    assert observed.nreflections == summary["n_observations"]
