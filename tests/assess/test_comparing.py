"""compare_merging_stats: each column is what merging_statistics says of that data set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scaled_sets import crystals

from mxdask.assess import comparing, merging
from mxdask.cli import main
from mxdask.errors import MxdaskError


def test_columns_are_those_of_merging_statistics():
    good, _ = crystals(8, bad=False)
    noisy, _ = crystals(8, bad=False, noise=200.0, seed=1)
    found = comparing.compare({"good": good, "noisy": noisy}, comparing.Params(n_bins=5))
    alone = merging.statistics(good, merging.Params()).overall.row(0)
    assert {k: v for k, v in found.overall["good"].row(0).items() if v is not None} == pytest.approx(
        {k: v for k, v in alone.items() if v is not None}
    )
    assert found.in_common["noisy"].Rmeas[0] > 2 * found.in_common["good"].Rmeas[0]
    told = comparing.as_data(found)
    json.dumps(told, allow_nan=False)
    assert told["data_sets"]["good"]["shells"]["d_min"] == told["data_sets"]["noisy"]["shells"]["d_min"]
    assert "good" in comparing.log_text(found)
    assert comparing.comparison_page(found).count("<svg") >= 6


def test_common_range_ends_where_one_set_does():
    whole, _ = crystals(8, bad=False)
    d = whole.cell.calculate_d_array(whole.hkl)
    short = whole.select(d > 5)
    found = comparing.compare({"whole": whole, "short": short}, comparing.Params())
    assert found.common[1] == pytest.approx(d[d > 5].min(), rel=1e-6)
    assert found.in_common["whole"].n_obs[0] == found.in_common["short"].n_obs[0] == len(short)
    assert found.shells["short"].n_obs[-1] == 0
    with pytest.raises(MxdaskError, match="share no resolution"):
        comparing.compare({"a": short, "b": whole.select(d < 4)}, comparing.Params())
    with pytest.raises(MxdaskError, match="only one"):
        comparing.compare({"a": short}, comparing.Params())


@pytest.mark.data
def test_command(data_dir, tmp_path, capsys):
    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    files = [str(folder / f"scaled_{k}.{end}") for end in ("expt", "refl") for k in ("30", "35")]
    assert main(["compare_merging_stats", *files, "--output-dir", str(tmp_path)]) == 0
    data = json.loads((tmp_path / "compare_merging_stats.json").read_text())["data_sets"]
    assert list(data) == ["scaled_30", "scaled_35"]
    assert np.isfinite([d["overall"]["Rmeas"] for d in data.values()]).all()
    assert main(["compare_merging_stats", *files[:3], "--output-dir", str(tmp_path)]) == 2
    assert "pairs" in capsys.readouterr().err
