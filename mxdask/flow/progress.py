"""A progress bar over the tasks of a graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dask.callbacks import Callback


class Bar:
    """Progress on the terminal; silent when off or when standard error is not a terminal."""

    def __init__(self, name: str, shown: bool) -> None:
        self.name = name
        self._progress: Any = None
        self._task: Any = None
        self._shown = shown

    def __enter__(self) -> Bar:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            console = Console(stderr=True)
            if console.is_terminal:
                self._progress = Progress(
                    TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    console=console, transient=True,
                )  # fmt: skip
                self._progress.start()
                self._task = self._progress.add_task(self.name, total=None)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._progress is not None:
            self._progress.stop()

    def total(self, n: int) -> None:
        if self._progress is not None:
            self._progress.update(self._task, total=n)

    def step(self, n: int = 1) -> None:
        if self._progress is not None:
            self._progress.advance(self._task, n)

    def watching(self) -> Any:
        """Follow a local Dask scheduler task by task."""
        if self._progress is None:
            return contextlib.nullcontext()
        return self._callback()

    @contextlib.contextmanager
    def _callback(self) -> Iterator[None]:
        def start(dsk: Any, state: Any) -> None:
            self.total(len(state["ready"]) + len(state["waiting"]))

        with Callback(start_state=start, posttask=lambda *_: self.step()):
            yield
