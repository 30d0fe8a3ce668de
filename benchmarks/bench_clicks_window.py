"""Measure the time from the mouse to an outline when objects are clicked in a real window.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_clicks_window.py [--sides 512 8192] [--clicks N]

Needs a display, real or virtual. For each image it prints the seconds from the button to the end of
the preparation, then medians and the longest of: from resting the mouse to the faint outline (with
the pause that the mode waits), from a click where nothing was shown to the outline, from a further
click to the refined outline, and from Enter to the labels. Each is measured with the whole image in
view and near. A timer of 10 ms records the longest time in which no event was handled; that of an
idle window is printed first, for a busy machine delays it too.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from sys import path
from typing import Any

import napari
import numpy as np
from bench_window import Pulse
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_unetseg.core.samples import nuclei
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.shared.navigate import go_to

path.insert(0, str(Path(__file__).parent.parent / "tools"))

from window.canvas import Canvas

TILE = 512
PATIENCE = 60.0


class Clicker:
    """A window with an image of nuclei, the dock Correct, and the mouse."""

    def __init__(self, side: int) -> None:
        sample = nuclei((TILE, TILE), seed=1)
        times = side // TILE
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 800)
        self.viewer.add_image(np.tile(sample.image, (times, times)), name="nuclei")
        self.tool = CorrectWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.tool, name="Correct", area="right")
        self.canvas = Canvas(self.viewer)
        self.pulse = Pulse()
        self.side = side
        inner = np.unique(sample.objects[20:-20, 20:-20])
        middles = [np.argwhere(sample.objects == k).mean(0) for k in inner if k]
        self.middles = [at + (side // 2 // TILE) * TILE for at in middles]
        QTest.qWait(1000)

    def wait(self, done: Callable[[], Any]) -> float:
        """Let the window go on until something is so; return the milliseconds."""
        start = time.perf_counter()
        while not done():
            if time.perf_counter() - start > PATIENCE:
                raise TimeoutError("not so after a minute")
            QApplication.processEvents()
            time.sleep(0.001)
        return 1000 * (time.perf_counter() - start)

    def near(self, place: np.ndarray) -> None:
        """Zoom to a place."""
        go_to(self.viewer, self.viewer.layers[0], place, place - 60, place + 60)
        QTest.qWait(200)

    def press(self, place: np.ndarray) -> None:
        """Click at once, with no rest of the mouse before."""
        point = self.canvas.at(self.layer, place)
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(self.canvas.native, left, none, point)

    @property
    def layer(self) -> Any:
        """The labels."""
        return self.tool.clicks.layer

    def longest(self, start: float) -> float:
        """Return the milliseconds of the longest gap since a time."""
        return float(self.pulse.gaps(start, time.perf_counter()).max(initial=0))


def measure(window: Clicker, places: list[np.ndarray], *, near: bool) -> dict[str, list[float]]:
    """Hover over every other place, click and keep the rest; return the milliseconds of each."""
    clicks = window.tool.clicks
    names = ("hover to outline", "click to outline", "next click", "keep", "longest gap")
    found: dict[str, list[float]] = {name: [] for name in names}
    for number, place in enumerate(places):
        if near:
            window.near(place)
        start = time.perf_counter()
        if number % 2 == 0:
            QTest.mouseMove(window.canvas.native, window.canvas.at(window.layer, place))
            window.wait(lambda start=start: not _idle(clicks) or time.perf_counter() > start + 2)
            window.wait(lambda: _idle(clicks))
            if clicks.state.hovered is not None:
                found["hover to outline"].append(1000 * (time.perf_counter() - start))
        else:
            window.press(place)
            found["click to outline"].append(window.wait(lambda: not clicks.busy))
            if clicks.state.current is not None:
                window.press(place + 3)
                found["next click"].append(window.wait(lambda: not clicks.busy))
                before = time.perf_counter()
                clicks.keep()
                found["keep"].append(1000 * (time.perf_counter() - before))
        QTest.qWait(50)
        found["longest gap"].append(window.longest(start))
    return found


def _idle(clicks: Any) -> bool:
    return not clicks._latest.busy and not clicks._pause.isActive()  # noqa: SLF001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 8192])
    parser.add_argument("--clicks", type=int, default=12)
    options = parser.parse_args()
    for side in options.sides:
        window = Clicker(side)
        start = time.perf_counter()
        QTest.qWait(2000)
        print(f"{side}: longest gap {window.longest(start):.0f} ms while nothing is done")
        start = time.perf_counter()
        window.tool.click_objects()
        shown = 1000 * (time.perf_counter() - start)
        window.wait(lambda window=window: not window.tool.clicks.busy)
        ready = time.perf_counter() - start
        gap = window.longest(start)
        print(f"{side}: button {shown:.0f} ms, ready {ready:.2f} s, longest gap {gap:.0f} ms")
        n = min(2 * options.clicks, len(window.middles) // 2)
        for near in (True, False):
            where = "near" if near else "whole image"
            places = window.middles[:n] if near else window.middles[n : 2 * n]
            if not near:
                window.viewer.reset_view()
                QTest.qWait(300)
            for name, values in measure(window, places, near=near).items():
                if values:
                    middle, top = np.median(values), max(values)
                    print(f"  {where:12} {name:18} median {middle:5.0f} ms, most {top:5.0f} ms")
        window.tool.close_tool()
        window.viewer.close()
        QTest.qWait(200)


if __name__ == "__main__":
    main()
