"""Who does the blocks: this process, one after another, or others (see `cluster`)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from napari_unetseg.core.streaming.block_work import Work
from napari_unetseg.core.streaming.run_folder import Arrays

Task = tuple[int, Arrays]
"""The number of a block, and what only the whole run knows of it."""

Order = Callable[[Work, Sequence[int]], int]
"""Says which of some blocks comes next: the place of its number in the sequence."""


class Runner(Protocol):
    """Does one stage with many blocks."""

    def run(self, work: Work, stage: str, tasks: Iterable[Task]) -> Iterator[Task]:
        """Yield the number of each block and what was found, as they are done.

        Raises
        ------
        MemoryError
            When a block does not fit.
        """


class Here:
    """Does the blocks in this process, one after another; a block uses all cores.

    Parameters
    ----------
    order
        Which block comes next; in order when missing.
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


__all__ = ["Here", "Order", "Runner", "Task"]
