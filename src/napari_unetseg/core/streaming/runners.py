"""Run blocks in this process one after another, or elsewhere (see `cluster`)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from napari_unetseg.core.streaming.block_work import Work
from napari_unetseg.core.streaming.run_folder import Arrays

Task = tuple[int, Arrays]
"""The number of a block, and the arrays it needs from, or returns to, the whole run."""

Order = Callable[[Work, Sequence[int]], int]
"""Function that chooses the next block: returns the position of its number in the sequence."""


class Runner(Protocol):
    """Interface that runs one stage on many blocks."""

    def run(self, work: Work, stage: str, tasks: Iterable[Task]) -> Iterator[Task]:
        """Run a stage and yield each block's number and results as they finish.

        Raises
        ------
        MemoryError
            When a block does not fit in memory.
        """


class LocalRunner:
    """Run blocks in this process, one after another; each block uses all cores.

    Parameters
    ----------
    order
        Chooses the next block; in grid order if None.
    """

    def __init__(self, order: Order | None = None) -> None:
        self._order = order

    def run(self, work: Work, stage: str, tasks: Iterable[Task]) -> Iterator[Task]:
        """See `Runner.run`."""
        if self._order is None or stage not in ("pixels", "objects"):
            for number, given in tasks:
                yield number, work.do(stage, number, given)
            return
        waiting = dict(tasks)
        while waiting:
            numbers = list(waiting)
            number = numbers[self._order(work, numbers)]
            yield number, work.do(stage, number, waiting.pop(number))


__all__ = ["LocalRunner", "Order", "Runner", "Task"]
