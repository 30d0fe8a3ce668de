"""Measure the time of each correction on a large label image, without and with napari.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_corrections.py [--side 8192] [--viewer]

There is about one object per 64×64 pixels. `core` is the time to compute the change; `applied`
also writes it into a Labels layer as an undo step with its locked pixels; `--viewer` shows that
layer in a real window (a virtual display is enough) and includes the events. Times are medians
over objects in different positions; corrections of all objects are run three times.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from napari_unetseg.core import corrections as fix
from napari_unetseg.core.corrections import Change, LabelsView, find_boxes
from napari_unetseg.core.corrections.locked_pixels import Box

CELL = 64
REPEATS = 9


def labels_of(side: int) -> np.ndarray:
    """Make round objects on a grid, some touching, some with a hole, some in two parts."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.int32)
    y, x = np.indices((CELL, CELL)) - CELL / 2
    number = 0
    for top in range(0, side - CELL + 1, CELL):
        for left in range(0, side - CELL + 1, CELL):
            number += 1
            distance = np.hypot(y + rng.uniform(-4, 4), x + rng.uniform(-4, 4))
            shape = distance < rng.uniform(14, 32)
            if number % 50 == 0:
                shape &= distance > 4
            if number % 70 == 0:
                shape &= np.abs(x) > 1
            labels[top : top + CELL, left : left + CELL][shape] = number
    return labels


Single = Callable[[np.ndarray, Box, int, int], Change]

SINGLE: dict[str, Single] = {
    "merge": lambda labels, box, n, first: fix.merge(
        labels, {n: box, n + 1: tuple(slice(s.start, s.stop + CELL) for s in box)}
    ),
    "split by a line": lambda labels, box, n, first: fix.split_by_line(
        labels, box, n, _diagonal(box), first=first
    ),
    "split by seeds": lambda labels, box, n, first: fix.split_by_seeds(
        labels, box, n, np.argwhere(labels[box] == n)[[9, -9]] + [s.start for s in box], first=first
    ),
    "delete": lambda labels, box, n, first: fix.delete(labels, {n: box}),
    "fill holes": lambda labels, box, n, first: fix.fill_holes(labels, box, n),
    "smooth by 4": lambda labels, box, n, first: fix.smooth(labels, box, n, 4),
    "grow by 2": lambda labels, box, n, first: fix.grow(labels, box, n, 2),
    "shrink by 2": lambda labels, box, n, first: fix.shrink(labels, box, n, 2),
    "separate": lambda labels, box, n, first: fix.separate(labels, box, n, first=first),
    "draw an outline": lambda labels, box, n, first: fix.draw_outlines(
        labels, [fix.ellipse_outline(_corners(box))], first=first
    ),
    "approve": lambda labels, box, n, first: fix.approve(labels, {n: box}),
}

EVERY: dict[str, Callable[[np.ndarray, Any, int], Change]] = {
    "delete small": lambda labels, parts, first: fix.delete(
        labels, fix.smaller_than(labels, parts, 700)
    ),
    "delete at the border": lambda labels, parts, first: fix.delete(
        labels, fix.at_border(labels, parts)
    ),
    "fill holes": lambda labels, parts, first: fix.fill_every(labels, parts),
    "smooth by 4": lambda labels, parts, first: fix.smooth_every(labels, parts, 4),
    "grow by 2": lambda labels, parts, first: fix.grow_every(labels, parts, 2),
    "shrink by 2": lambda labels, parts, first: fix.shrink_every(labels, parts, 2),
    "separate": lambda labels, parts, first: fix.separate_every(labels, parts, first=first),
    "renumber": lambda labels, parts, first: fix.renumber(labels, parts),
    "approve": lambda labels, parts, first: fix.approve(labels, parts),
}


def _diagonal(box: Box) -> list[list[int]]:
    return [[box[0].start - 1, box[1].start - 1], [box[0].stop, box[1].stop]]


def _corners(box: Box) -> list[list[int]]:
    (top, bottom), (left, right) = ((s.start - 2, s.stop + 2) for s in box)
    return [[top, left], [top, right], [bottom, right], [bottom, left]]


class Bench:
    """Hold labels, with or without a layer that shows them."""

    def __init__(self, labels: np.ndarray, viewer: Any = None) -> None:
        from napari.layers import Labels

        from napari_unetseg.gui.shared.layer_locks import LayerLocks

        self.labels, self.viewer = labels, viewer
        self.layer = Labels(labels) if viewer is None else viewer.add_labels(labels)
        self.ink = LayerLocks(self.layer)
        self.boxes = find_boxes(labels)
        self.frame = LabelsView.whole(2)
        self.first = self.boxes.largest() + 1

    def time(self, make: Callable[[], Change]) -> tuple[float, float, int]:
        """Measure the seconds of a change alone and with its application; count its pixels."""
        began = time.perf_counter()
        change = make()
        core = time.perf_counter() - began
        parts = {number: self.boxes.box(number) for number in change.objects}
        approved = fix.collect_pixels(self.labels, parts, self.frame, self.labels.shape)
        self.ink.correct(change.index, change.after, approved)
        self.settle()
        applied = time.perf_counter() - began
        if len(change) or approved:
            self.layer.undo()
            self.settle()
        return core, applied, len(change)

    def settle(self) -> None:
        """Process events until the window has drawn."""
        if self.viewer is not None:
            from qtpy.QtWidgets import QApplication

            QApplication.processEvents()
            QApplication.processEvents()

    def print_medians(
        self, name: str, make: Callable[[int], Callable[[], Change]], repeats: int
    ) -> None:
        """Print a line of medians."""
        rows = np.array([self.time(make(k)) for k in range(repeats)])
        core, applied, pixels = np.median(rows, axis=0)
        print(
            f"{name:28s} core {1000 * core:8.1f} ms  applied {1000 * applied:8.1f} ms  "
            f"{pixels:9,.0f} pixels",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--viewer", action="store_true")
    asked = parser.parse_args()
    labels = labels_of(asked.side)
    viewer = None
    if asked.viewer:
        import napari

        viewer = napari.Viewer()
        viewer.window.resize(1280, 780)
    find_boxes(labels)  # compiles
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        boxes = find_boxes(labels)
        seconds.append(time.perf_counter() - began)
    print(f"{len(boxes):,} objects; all boxes found in {1000 * np.median(seconds):.0f} ms")
    bench = Bench(labels, viewer)
    # Every 50th has a hole to fill.
    numbers = [n for n in range(50, len(boxes) - 1, 50) if n % (asked.side // CELL) > 1]
    numbers = numbers[:: max(len(numbers) // REPEATS, 1)][:REPEATS]
    print("\none object")
    for name, single in SINGLE.items():
        bench.print_medians(
            name,
            lambda k, single=single: partial(
                single, labels, boxes.box(numbers[k]), numbers[k], bench.first
            ),
            len(numbers),
        )
    print("\nevery object")
    labels[bench.boxes.box(3)][labels[bench.boxes.box(3)] == 3] = 0
    bench = Bench(labels, viewer)
    parts = bench.boxes.parts(bench.frame)
    for name, every in EVERY.items():
        bench.print_medians(
            name, lambda k, every=every: partial(every, labels, parts, bench.first), 3
        )
    if viewer is not None:
        viewer.close()


if __name__ == "__main__":
    main()
