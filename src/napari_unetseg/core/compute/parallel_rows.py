"""Row strips: parallel execution of compiled kernels on all cores.

A kernel is a numba function compiled with ``nogil=True`` that works on rows `start` to `stop` of
its arrays. Numba's own ``parallel=True`` is not used: its default threading layer must not be
entered from two threads at once, and a viewer always has at least two.
"""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

_MAX_STRIPS = 32
_MIN_ROWS = 16
_THREAD_NAME = "napari-unetseg-strip"


def strips(n_rows: int, *, rows: int | None = None) -> list[tuple[int, int]]:
    """Split `n_rows` rows into strips, the same ones on every machine.

    Parameters
    ----------
    n_rows
        Number of rows.
    rows
        Rows per strip. By default a 32nd of all and at least 16: enough strips for any number of
        cores, few enough that the overhead is negligible.

    Returns
    -------
    list of (int, int)
        First row and the row after the last of each strip, in order; empty for no rows.
    """
    height = rows if rows is not None else max(-(-n_rows // _MAX_STRIPS), _MIN_ROWS)
    return [(start, min(start + height, n_rows)) for start in range(0, n_rows, height)]


def map_strips(
    function: Callable[[int, int], T], n_rows: int, *, rows: int | None = None
) -> list[T]:
    """Call `function(start, stop)` for every strip of rows, on all cores.

    The strips do not depend on the number of cores, so sums over the results in order are the same
    everywhere. Calls from within a strip run immediately, in the calling thread.

    Parameters
    ----------
    function
        Called with the first row and the row after the last. It should release the GIL, and must
        not write where another strip writes.
    n_rows, rows
        See `strips`.

    Returns
    -------
    list
        The result of each call, in the order of the rows.

    Raises
    ------
    Exception
        The first error of the earliest failing strip, after all strips have ended.
    """
    parts = strips(n_rows, rows=rows)
    nested = threading.current_thread().name.startswith(_THREAD_NAME)
    if len(parts) < 2 or nested or _workers() == 1:
        return [function(start, stop) for start, stop in parts]
    pool = _pool(os.getpid())
    futures = [pool.submit(function, start, stop) for start, stop in parts]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        # The caller owns the arrays the strips write to: no strip may still run on return.
        for future in futures:
            future.cancel()
        wait(futures)
    for future in futures:
        if not future.cancelled() and (error := future.exception()) is not None:
            raise error
    return [future.result() for future in futures]


def _workers() -> int:
    """Return the number of cores this process may use; parallel worker processes limit it."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    most = int(limit) if limit.isdecimal() and int(limit) else os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return min(most, len(os.sched_getaffinity(0)) or 1)
    return most


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the thread pool of `process`: threads do not survive a fork, hence one per child."""
    return ThreadPoolExecutor(_workers(), thread_name_prefix=_THREAD_NAME)


__all__ = ["map_strips", "strips"]
