"""The same graph everywhere; failures as data; checkpoints."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from distributed import CancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from jobs import count_and_square, rows, square, total

from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.table import ReflectionTable


@pytest.fixture(params=["sync", "threads", "processes", "distributed"], scope="module")
def flow(request: pytest.FixtureRequest) -> Iterator[Flow]:
    if request.param != "distributed":
        with Flow(request.param, n_workers=2) as value:
            yield value
        return
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None
        ) as cluster,
        Flow(cluster.scheduler_address) as value,
    ):
        yield value


def test_results_come_in_order_and_failures_are_data(flow: Flow) -> None:
    results = flow.map(square, [(i,) for i in range(5)], name="square")
    assert [r for r in results if not isinstance(r, Failed)] == [0, 1, 4, 16]
    assert isinstance(results[3], Failed)
    assert results[3].reason == "three is not squared"
    assert results[3].detail == ""


def test_a_failure_passes_through_what_depends_on_it(flow: Flow) -> None:
    nodes = [flow.task(square, i, name="square") for i in (1, 2, 3)]
    good = flow.task(total, *nodes[:2], name="total")
    bad = flow.task(total, *nodes, name="total")
    results = flow.compute([good, bad], name="total")
    assert results[0] == 5
    assert isinstance(results[1], Failed)


def test_kept_results_are_not_computed_again(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    for _ in range(2):
        with Flow("threads", run_dir=tmp_path / "run") as flow:
            assert flow.map(count_and_square, [(2, log), (4, log)], name="s", keep=True) == [4, 16]
    assert sorted(Path(log).read_text().split()) == ["2", "4"]


def test_checkpoints_that_nobody_asks_for_any_more_are_deleted(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    for numbers in ((1, 2), (2, 4)):
        with Flow("sync", run_dir=tmp_path / "run") as flow:
            flow.map(count_and_square, [(x, log) for x in numbers], name="s", keep=True)
            flow.map(square, [(numbers[0],)], name="other", keep=True)
            flow.forget_unused()
    assert sorted(Path(log).read_text().split()) == ["1", "2", "4"]  # 2 was asked for twice and done once
    assert len(list((tmp_path / "run").rglob("s/*.pkl"))) == 2


def test_failures_are_not_kept(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    for _ in range(2):
        with Flow("sync", run_dir=tmp_path / "run") as flow:
            flow.map(count_and_square, [(3, log)], name="s", keep=True)
    assert Path(log).read_text().split() == ["3", "3"]


def test_a_damaged_checkpoint_is_computed_again(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with Flow("sync", run_dir=tmp_path / "run") as flow:
        flow.map(count_and_square, [(2, log)], name="s", keep=True)
        (kept,) = (tmp_path / "run").rglob("*.pkl")
        kept.write_bytes(b"\x80garbage")
        assert flow.map(count_and_square, [(2, log)], name="s", keep=True) == [4]
    assert Path(log).read_text().split() == ["2", "2"]


def test_events_are_appended(tmp_path: Path) -> None:
    flow = Flow("sync", run_dir=tmp_path)

    def work() -> None:
        with flow.stage("index") as event:
            event["n"] = 3

    work()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["index.start", "index.done"]
    assert lines[1]["n"] == 3


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:1", "cloud"])
def test_a_scheduler_that_is_not_there_is_named(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(MxdaskError, match="--scheduler"):
        Flow(where)


def test_defects_keep_their_traceback() -> None:
    def broken() -> Any:
        return 1 / 0

    (result,) = Flow("sync").map(broken, [()], name="broken")
    assert result.reason.startswith("ZeroDivisionError")
    assert "broken" in result.detail


def test_large_tables_reach_a_cluster_through_files(tmp_path: Path) -> None:
    from distributed import LocalCluster

    table = ReflectionTable({"d": np.arange(100_000.0)})
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        with Flow(cluster.scheduler_address, run_dir=tmp_path) as flow:
            node = flow.task(rows, table, name="rows")
            assert len(pickle.dumps(node)) < 10_000
            assert flow.compute([node, flow.task(rows, table, name="rows")], name="rows") == [rows(table)] * 2
            assert len(list((tmp_path / ".mxdask" / "arguments").iterdir())) == 1
        assert not (tmp_path / ".mxdask" / "arguments").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CommClosedError("closed"), "the Dask scheduler at tcp://node:1 is gone"),
        (CancelledError("scheduler-connection-lost"), "the Dask scheduler at tcp://node:1 is gone"),
        (KilledWorker("t-1", None, 3), "a task of t ended 4 workers"),
    ],
)
def test_a_cluster_that_goes_away_is_told_in_one_line(error: Exception, said: str) -> None:
    class Lost:
        scheduler = SimpleNamespace(address="tcp://node:1")

        def compute(self, *_: object, **__: object) -> None:
            raise error

    with pytest.raises(MxdaskError, match=said):
        Flow(client=Lost()).map(abs, [(1,)], name="t")


def test_nodes_inside_lists_and_dicts_arrive_as_values() -> None:
    with Flow("sync") as flow:
        node = flow.task(abs, -3, name="inner")
        assert flow.compute([flow.task(_sum, [1, node], {"x": node}, name="outer")], name="outer") == [7]


def _sum(parts: list[int], named: dict[str, int]) -> int:
    return sum(parts) + named["x"]
