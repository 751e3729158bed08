"""Run a Dask graph on threads, processes or a cluster, with progress."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
from dask.delayed import Delayed, delayed
from dask.local import get_sync
from dask.threaded import get as get_in_threads

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow.checkpoint import Checkpointed
from mxdask.flow.failed import Failed, Guarded
from mxdask.flow.progress import Bar
from mxdask.flow.stored import Bound, WithStored, holds_nodes, store_large


class Flow:
    """Where the graphs of the steps run.

    Parameters
    ----------
    scheduler : ``threads`` (default), ``processes``, ``sync``, or the address of a running cluster
        (``tcp://host:8786``, or a scheduler file ending in ``.json``).
    n_workers : threads or processes to use; default all cores this process may use. Ignored for a cluster.
    progress : show a bar on the terminal.
    run_dir : folder of the run; task checkpoints and ``events.jsonl`` go there. None: neither is kept.
    client : a ``distributed.Client`` to use instead of an address (tests, notebooks).
    """

    def __init__(
        self,
        scheduler: str = "threads",
        *,
        n_workers: int | None = None,
        progress: bool = False,
        run_dir: str | Path | None = None,
        client: Any = None,
    ) -> None:
        self.scheduler = scheduler
        self.n_workers = n_workers or len(os.sched_getaffinity(0))
        self.progress = progress
        self.run_dir = None if run_dir is None else Path(run_dir).resolve()
        self._client = client
        self._own_client = False
        self._pool: Any = None
        self._kept: dict[str, set[str]] = {}
        if client is None:
            self._connect()

    def _connect(self) -> None:
        if self.scheduler == "threads":
            self._pool = ThreadPoolExecutor(self.n_workers, thread_name_prefix="mxdask")
        elif self.scheduler == "processes":
            self._pool = ProcessPoolExecutor(self.n_workers, mp_context=multiprocessing.get_context("spawn"))
        elif self.scheduler.startswith(("tcp://", "tls://", "ucx://")) or self.scheduler.endswith(".json"):
            from distributed import Client

            try:
                if self.scheduler.endswith(".json"):
                    self._client = Client(scheduler_file=self.scheduler)
                else:
                    self._client = Client(self.scheduler)
            except OSError as error:
                raise MxdaskError(
                    f"--scheduler {self.scheduler}: no Dask scheduler answers there; start one with `dask scheduler`"
                ) from error
            self._own_client = True
        elif self.scheduler != "sync":
            raise ParameterError(
                f"--scheduler {self.scheduler}: unknown; use threads, processes, sync, tcp://host:port "
                "or a scheduler file"
            )

    def close(self) -> None:
        """Give back threads, processes or the connection; what only tasks in flight needed is deleted."""
        if self._client is not None and self.run_dir is not None:
            shutil.rmtree(self.run_dir / ".mxdask" / "arguments", ignore_errors=True)
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._own_client:
            self._client.close()

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def is_distributed(self) -> bool:
        return self._client is not None

    def task(self, function: Callable[..., Any], *args: Any, name: str, keep: bool = False) -> Delayed:
        """One node of a graph: ``function(*args)``, errors turned into :class:`Failed`.

        Parameters
        ----------
        args : values or other nodes. A node that failed is handed through unchanged; nodes inside lists or dicts
            arrive as values or Failed, and the function looks for itself.
        name : what people see on the dashboard, e.g. ``find-spots``.
        keep : look the result up in, and leave it in, the run directory (only for plain arguments).
        """
        call: Callable[..., Any] = Guarded(function)
        if keep and self.run_dir is not None:
            call = Checkpointed.of(call, self.run_dir / ".mxdask" / "tasks" / name, args)
            self._kept.setdefault(name, set()).add(call.key)
        if self._client is not None and self.run_dir is not None:
            call, args = WithStored(call), store_large(args, self.run_dir / ".mxdask" / "arguments")
        if not any(holds_nodes(a) for a in args):  # then Dask need not look into tables and models for nodes
            call, args = Bound(call, args), ()
        return delayed(call, name=name, pure=False, traverse=False)(
            *args, dask_key_name=f"{name}-{dask.base.tokenize(os.urandom(8))}"
        )

    def compute(self, nodes: Sequence[Any], *, name: str) -> list[Any]:
        """Results of the nodes, in their order, whatever the order in which they finish."""
        nodes = list(nodes)
        if not nodes:
            return []
        with Bar(name, self.progress) as bar:
            if self._client is not None:
                return self._compute_distributed(nodes, bar)
            options: dict[str, Any] = {"scheduler": self._local_get(), "optimize_graph": False}
            if self._pool is not None:
                options |= {"pool": self._pool, "num_workers": self.n_workers}
            with bar.watching():
                return list(dask.compute(*nodes, **options))

    def _local_get(self) -> Callable[..., Any]:
        """The function behind a scheduler's name: for the name, Dask would import distributed and look for a client."""
        if self.scheduler == "processes":
            from dask.multiprocessing import get as get_in_processes

            return get_in_processes
        return get_in_threads if self.scheduler == "threads" else get_sync

    def _compute_distributed(self, nodes: list[Any], bar: Bar) -> list[Any]:
        from distributed import CancelledError, as_completed
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker

        try:
            futures = self._client.compute(nodes, optimize_graph=False, retries=2)
            bar.total(len(futures))
            for _ in as_completed(futures, raise_errors=False):
                bar.step()
            return list(self._client.gather(futures))
        except (CancelledError, CommClosedError, TimeoutError) as error:
            raise MxdaskError(
                f"the Dask scheduler at {self._address} is gone; start it and its workers again, then run this again "
                "to go on where it was"
            ) from error
        except KilledWorker as error:
            raise MxdaskError(
                f"a task of {bar.name} ended {error.allowed_failures + 1} workers (their memory limit?); give workers "
                "more memory, then run this again to go on where it was"
            ) from error

    @property
    def _address(self) -> str:
        """Of the cluster, as the user named it if they did."""
        return self.scheduler if self._own_client else str(self._client.scheduler.address)

    def map(
        self, function: Callable[..., Any], items: Iterable[tuple[Any, ...]], *, name: str, keep: bool = False
    ) -> list[Any]:
        """``function(*item)`` for every item: results (or :class:`Failed`) in the items' order."""
        return self.compute([self.task(function, *item, name=name, keep=keep) for item in items], name=name)

    def place(self, values: Sequence[Any], *, name: str) -> list[Any]:
        """Put values where many graphs to come need them: in the memory of a cluster's workers, else they stay here.

        What is returned stands for the values as arguments of :meth:`map`. A worker that is lost is no loss: others
        read the values again from the run directory.
        """
        if self._client is None:
            return list(values)
        tasks = [self.task(_same, value, name=name) for value in values]
        return list(self._client.persist(tasks, optimize_graph=False))

    def forget_unused(self) -> None:
        """Delete checkpoints of earlier runs that this one, now complete, asked for no more.

        Only kinds of tasks that were planned anew are looked at: those of steps that were skipped stay.
        """
        for name, keys in self._kept.items():
            assert self.run_dir is not None
            for path in (self.run_dir / ".mxdask" / "tasks" / name).glob("*.pkl"):
                if path.stem not in keys:
                    path.unlink(missing_ok=True)

    def record(self, event: str, **data: Any) -> None:
        """Append one line to ``events.jsonl`` of the run directory (time, event, data)."""
        if self.run_dir is None:
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": round(time.time(), 3), "event": event, **data})
        with open(self.run_dir / "events.jsonl", "a") as file:
            file.write(line + "\n")

    @contextlib.contextmanager
    def stage(self, event: str, **data: Any) -> Iterator[dict[str, Any]]:
        """Record start and end of something with its duration, and what the block puts into the yielded dict."""
        self.record(f"{event}.start", **data)
        begin = time.perf_counter()
        more: dict[str, Any] = {}
        try:
            yield more
        except BaseException as error:
            self.record(f"{event}.error", error=str(error), **data)
            raise
        self.record(f"{event}.done", seconds=round(time.perf_counter() - begin, 3), **data, **more)


def _same(value: Any) -> Any:
    return value


def successes(results: Sequence[Any]) -> list[Any]:
    """The results that are not failures, in order."""
    return [r for r in results if not isinstance(r, Failed)]
