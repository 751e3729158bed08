"""Crystals to merged data: the same bits for any scheduler, number of workers, size of blocks and order of crystals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.generated_crystals import generate

import mxdask.cosym.pairs
import mxdask.cosym.params
import mxdask.cosym.step
import mxdask.merge.params
import mxdask.scale.params
import mxdask.scale.step
import mxdask.symmetry.params
import mxdask.symmetry.step
from mxdask.assess.observations import from_experiments
from mxdask.flow import Flow
from mxdask.intensity.delta_cchalf import leave_one_out
from mxdask.intensity.merging import Unmerged
from mxdask.io import refl
from mxdask.io.refl import read_refl, write_refl
from mxdask.merge.step import merge
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable

N = 9
# Half of the crystals are solved together, the others are placed beside them.
COSYM = mxdask.cosym.params.Params(landmarks={"above": 6, "number": 4})

Outcome = dict[str, Any]


@pytest.fixture(scope="module")
def crystals() -> tuple[ExperimentList, ReflectionTable]:
    experiments, table, _ = generate(N, reflections=900, wedge=15.0, seed=3)
    return experiments, table


def chain(experiments: ExperimentList, table: ReflectionTable, flow: Flow) -> Outcome:
    """Everything that comes out, by identifier where there is one per crystal."""
    experiments, table, cosym = mxdask.cosym.step.run(experiments, table, COSYM, flow=flow)
    filtering = {"method": "deltacchalf", "deltacchalf": {"stdcutoff": 1.0, "max_percent_removed": 30}}
    params = mxdask.scale.params.Params(filtering=filtering)
    experiments, table, scale = mxdask.scale.step.run(experiments, table, params, flow=flow)
    merged = merge(experiments, table, mxdask.merge.params.Params())
    scaled = from_experiments(experiments, table, 0.4)
    data = Unmerged.of(scaled.hkl, scaled.intensity, scaled.variance, scaled.cell, scaled.space_group)
    delta = leave_one_out(
        data.asu.group, scaled.sweep, scaled.intensity, data.inverse_d_squared[data.asu.group], len(experiments)
    ).delta
    out: Outcome = {"merged": (merged.hkl.tobytes(), *(c.values.tobytes() for c in merged.columns))}
    out["table1"], out["error model"] = scale["table1"], scale["error_model"]
    for i, experiment in enumerate(experiments):
        assert experiment.crystal is not None
        own = table.select(table["id"] == i)
        columns = tuple((n, own[n].tobytes()) for n in sorted(own) if n not in ("id", "imageset_id"))
        model = repr(experiment.scaling_model)
        out[experiment.identifier] = (experiment.crystal.A.tobytes(), columns, model, float(delta[i]).hex())
    for told in (cosym, scale):
        for row in told["rows"]:
            out[f"{told['step']} {row['identifier']}"] = row
    return out


@pytest.fixture(scope="module")
def reference(crystals: tuple[ExperimentList, ReflectionTable]) -> Outcome:
    with Flow("sync") as flow:
        return chain(*crystals, flow)


def different(a: Outcome, b: Outcome) -> str:
    """Names of what differs (the bits themselves would fill the terminal)."""
    return ", ".join(key for key in sorted({*a, *b}) if a.get(key) != b.get(key))


def test_the_set_is_worth_it(reference: Outcome) -> None:
    status = [row["status"] for key, row in reference.items() if key.startswith("scale ")]
    assert 0 < status.count("failed") < N, "filtering should take something out"
    assert sum(key.startswith("cosym ") for key in reference) == N


@pytest.fixture(scope="module", params=["one thread", "threads", "processes", "cluster"])
def flow(request: pytest.FixtureRequest) -> Iterator[Flow]:
    if request.param == "cluster":
        from distributed import LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Flow(cluster.scheduler_address) as value,
        ):
            yield value
    else:
        kind, workers = {"one thread": ("threads", 1), "threads": ("threads", 2), "processes": ("processes", 2)}[
            request.param
        ]
        with Flow(kind, n_workers=workers) as value:
            yield value


def test_any_scheduler(crystals: tuple[ExperimentList, ReflectionTable], reference: Outcome, flow: Flow) -> None:
    assert not different(reference, chain(*crystals, flow))


@pytest.mark.parametrize("block", [1, 4])
def test_any_blocks(
    crystals: tuple[ExperimentList, ReflectionTable], reference: Outcome, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(mxdask.cosym.step, "_BLOCK", block)
    monkeypatch.setattr(mxdask.cosym.pairs, "_STRIP", block)
    with Flow("threads", n_workers=2) as flow:
        assert not different(reference, chain(*crystals, flow))


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_crystals(crystals: tuple[ExperimentList, ReflectionTable], reference: Outcome, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(N)
    experiments, table = crystals
    position = np.argsort(order)
    shuffled = table.copy()
    shuffled["id"] = position[table["id"]]
    shuffled.identifiers = {int(position[i]): s for i, s in table.identifiers.items()}
    shuffled = shuffled.select(np.argsort(shuffled["id"], kind="stable"))
    with Flow("sync") as flow:
        out = chain(ExperimentList([experiments[i] for i in order]), shuffled, flow)
    assert not different(reference, out)


def test_columns_that_stay_in_the_file(
    crystals: tuple[ExperimentList, ReflectionTable],
    reference: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refl, "_LARGE", 0)
    write_refl(tmp_path / "crystals.refl", crystals[1])
    with Flow("threads", n_workers=2) as flow:
        assert not different(reference, chain(crystals[0], read_refl(tmp_path / "crystals.refl"), flow))


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_symmetry_of_several_sweeps(crystals: tuple[ExperimentList, ReflectionTable], scheduler: str) -> None:
    experiments, table = ExperimentList(crystals[0][:2]), crystals[1].select(crystals[1]["id"] < 2)
    params = mxdask.symmetry.params.Params()
    results = []
    for kind, workers in (("sync", 1), (scheduler, 2)):
        with Flow(kind, n_workers=workers) as flow:
            found, reindexed, told = mxdask.symmetry.step.run(experiments, table, params, flow=flow)
        bases = [e.crystal.A.tobytes() for e in found if e.crystal is not None]
        results.append((bases, [(n, reindexed[n].tobytes()) for n in sorted(reindexed)], repr(told)))
    same = results[0] == results[1]
    assert same
