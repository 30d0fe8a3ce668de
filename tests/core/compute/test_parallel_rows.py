"""Row strips: complete, in order, reproducible, and quiet about failure until nothing runs."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.compute.parallel_rows import map_strips, strips


@given(st.integers(0, 5000), st.none() | st.integers(1, 700))
def test_strips_cover_every_row_once_and_in_order(n_rows: int, rows: int | None) -> None:
    found = [row for start, stop in strips(n_rows, rows=rows) for row in range(start, stop)]
    assert found == list(range(n_rows))


def test_results_come_in_the_order_of_the_rows() -> None:
    def slow_first(start: int, stop: int) -> tuple[int, int]:
        time.sleep(0.01 if start == 0 else 0)
        return start, stop

    assert map_strips(slow_first, 100, rows=10) == strips(100, rows=10)
    assert map_strips(slow_first, 0) == []


def test_sums_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)

    def total(start: int, stop: int) -> np.float32:
        return values[start:stop].sum()

    many = sum(map_strips(total, len(values)))
    monkeypatch.setattr("napari_unetseg.core.compute.parallel_rows._workers", lambda: 1)
    assert sum(map_strips(total, len(values))) == many


def test_a_strip_may_itself_use_strips() -> None:
    def nested(start: int, stop: int) -> int:
        return sum(map_strips(lambda a, b: b - a, stop - start, rows=3))

    assert sum(map_strips(nested, 500, rows=20)) == 500


def test_the_first_failure_is_raised_once_nothing_runs() -> None:
    running = []

    def fails(start: int, stop: int) -> None:
        running.append(threading.current_thread())
        time.sleep(0.01)
        running.pop()
        if start >= 50:
            raise ZeroDivisionError(start)

    with pytest.raises(ZeroDivisionError):
        map_strips(fails, 200, rows=10)
    assert not running


def test_many_threads_may_call_at_once() -> None:
    results: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(sum(map_strips(lambda a, b: b - a, 1000, rows=7)))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1000] * 8
