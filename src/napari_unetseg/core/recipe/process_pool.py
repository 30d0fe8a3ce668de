"""Run tasks in several processes, so that one crashing process does not lose the others' work."""

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
"""Function that opens an executor for a number of simultaneous tasks."""

_SECONDS_BETWEEN_LOOKS = 0.2
_MOST = 61  # what Windows can wait for
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_end_event: Any = None
"""In a pool process: the event that asks it to end, passed on by the pool's initializer."""


@contextmanager
def processes(n: int) -> Iterator[Executor]:
    """Open `n` processes that share the cores of the processor.

    When the block ends with an exception, they abandon their tasks and end.
    """
    # A forked process that has threads may hang; a spawned one cannot.
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


def raise_if_ended(fraction: float, message: str = "", /) -> None:
    """Raise `Cancelled` once this pool process is asked to end; a `Progress`. Else do nothing."""
    if _end_event is not None and _end_event.is_set():
        raise Cancelled


@dataclass(frozen=True)
class TaskResult(Generic[T, R]):
    """Hold a task and its result; the result is None if the process died (`died`)."""

    task: T
    result: R | None
    died: bool = False


def run_tasks(
    tasks: Sequence[T],
    work: Callable[[T], R],
    n: int,
    *,
    open_pool: OpenPool = processes,
    progress: Progress,
) -> Iterator[TaskResult[T, R]]:
    """Run tasks in processes and yield their results as they finish.

    Parameters
    ----------
    tasks, work
        The tasks, and the function to call with each; both are pickled and sent to the processes.
    n
        Number of tasks to run at once.
    open_pool
        Opens the pool of processes.
    progress
        Called several times a second with the fraction done, so that it may cancel; running tasks
        are then abandoned.

    Notes
    -----
    The task that killed a process cannot be identified, so all running tasks are repeated one at a
    time; the one that ends its process again is reported as died.
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
) -> Iterator[TaskResult[T, R]]:
    """Yield results until the queue is empty or a process dies."""
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
                    unfinished = [task, *running.values()]
                    yield from (TaskResult(task, None, died=True) for task in unfinished)
                    return
                yield TaskResult(task, future.result())


def _begin_process(threads: int, end: Any) -> None:
    """Set up a pool process before it loads libraries with their own threads."""
    global _end_event
    _end_event = end
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    # Ctrl-C reaches all processes of a terminal; the main process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


__all__ = ["OpenPool", "TaskResult", "processes", "raise_if_ended", "run_tasks"]
