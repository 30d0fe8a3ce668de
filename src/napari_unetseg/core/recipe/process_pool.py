"""Work done by several processes, of which one that dies takes no other's work with it."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from concurrent.futures.process import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from napari_unetseg.core.progress import Cancelled, Progress

T = TypeVar("T")
R = TypeVar("R")

OpenPool = Callable[[int], AbstractContextManager[Executor]]
"""Called with how many works are done at once; gives what does them."""

_SECONDS_BETWEEN_LOOKS = 0.2
_MOST = 61  # what Windows can wait for
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_told_to_end: Any = None
"""In a process of a pool: the event by which it is told to end. There is no other way to it."""


@contextmanager
def processes(n: int) -> Iterator[Executor]:
    """Open `n` processes, which share the processor's cores among them.

    When the block ends by an exception they abandon what they are at, and are gone with it.
    """
    # A copy of a process that has threads may hang; a fresh one cannot.
    context, n = multiprocessing.get_context("spawn"), min(n, _MOST)
    end = context.Event()
    threads = max(1, (os.cpu_count() or 1) // n)
    pool = ProcessPoolExecutor(
        n, mp_context=context, initializer=_begin_process, initargs=(threads, end)
    )
    try:
        yield pool
    except BaseException:
        end.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def until_told(fraction: float, message: str = "", /) -> None:
    """Listen, as a `Progress`, whether this process is to end; in any other nobody says so."""
    if _told_to_end is not None and _told_to_end.is_set():
        raise Cancelled


@dataclass(frozen=True)
class Answer(Generic[T, R]):
    """A task and its result; `died` when its process did, and then the result is None."""

    task: T
    result: R | None
    died: bool = False


def answers(
    tasks: Sequence[T],
    work: Callable[[T], R],
    n: int,
    *,
    open_pool: OpenPool = processes,
    progress: Progress,
) -> Iterator[Answer[T, R]]:
    """Yield the results of tasks, as they come.

    Parameters
    ----------
    tasks, work
        Both are sent to the processes.
    n
        How many are done at once.
    open_pool
        Gives what does them.
    progress
        Told often how many are done, so that it may cancel: what is under way is abandoned.

    Notes
    -----
    Nobody can say of which task a process died, so all that were under way are done again, one at a
    time; the one that ends its process once more has died.
    """
    waiting, suspects, n_done = deque(tasks), deque[T](), 0
    while waiting or suspects:
        alone = bool(suspects)
        queue, width = (suspects, 1) if alone else (waiting, n)
        for answer in _until_death(queue, work, width, open_pool, progress, n_done / len(tasks)):
            if answer.died and not alone:
                suspects.append(answer.task)
                continue
            n_done += 1
            progress(n_done / len(tasks))
            yield answer


def _until_death(
    queue: deque[T],
    work: Callable[[T], R],
    width: int,
    open_pool: OpenPool,
    progress: Progress,
    fraction: float,
) -> Iterator[Answer[T, R]]:
    """Yield answers until the queue is empty or a process died."""
    running: dict[Future[R], T] = {}
    with open_pool(width) as pool:
        while queue or running:
            while queue and len(running) < width:
                task = queue.popleft()
                running[pool.submit(work, task)] = task
            progress(fraction)
            for future in wait(running, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done:
                task = running.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    lost = [task, *running.values()]
                    yield from (Answer(one, None, died=True) for one in lost)
                    return
                yield Answer(task, future.result())


def _begin_process(threads: int, end: Any) -> None:
    """Prepare a process of a pool: before it loads what has threads of its own."""
    global _told_to_end
    _told_to_end = end
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    # Ctrl-C reaches all processes of a terminal; the one that began the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


__all__ = ["Answer", "OpenPool", "answers", "processes", "until_told"]
