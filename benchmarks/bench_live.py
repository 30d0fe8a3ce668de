"""Measure the time from a stroke to the updated preview, headless and in a real window.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_live.py [--side 1024] [--strokes 40]
        [--features bank bank+pretrained] [--window]

Without a window, the labels are changed, the model is refitted and the whole field is classified.
With a window (a virtual display is enough), the time runs from the stroke on the canvas to the
preview layer's new data, with event loop and drawing. Medians are over the strokes after the first
three; the sum of their times is printed separately. Before them it is printed how long the filter
bank takes to answer alone to a stroke of each class, and the pretrained network to join it; the
first time this includes compiling.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, PixelSpec, SoftmaxSpec
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.samples import neurons

WARMING = 3
FEATURES = {"bank": "filter bank", "bank+pretrained": "filter bank and pretrained network"}
"""Names of the features in the dock, by their option."""


def strokes_of(mask: np.ndarray, n: int) -> list[tuple[int, int, int]]:
    """Return positions and classes of strokes, background and foreground in turn."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(n):
        kind = number % 2
        places = np.argwhere(mask == bool(kind))
        y, x = places[rng.integers(len(places))]
        found.append((int(y), int(x), 1 + kind))
    return found


def brushed(labels: np.ndarray, stroke: tuple[int, int, int], radius: int = 3) -> None:
    """Paint a dab."""
    y, x, value = stroke
    labels[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = value


def now() -> np.ndarray:
    """Return the time on the clock and the processor time of all threads, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def print_figures(name: str, seconds: list[np.ndarray]) -> None:
    """Print a line of figures."""
    clock, processor = 1000 * np.array(seconds[WARMING:]).T
    low, middle, high = np.percentile(clock, [10, 50, 90])
    first = sum(seconds[:WARMING])[0]
    print(
        f"{name:36s} median {middle:6.0f} ms  10-90 % {low:.0f}-{high:.0f}  processor "
        f"{np.median(processor):.0f} ms  first {first:.1f} s",
        flush=True,
    )


def print_first(answered: np.ndarray, joined: np.ndarray) -> None:
    """Print the seconds from the first stroke of two classes to both answers."""
    print(
        f"first answer {answered[0]:.2f} s ({answered[1]:.2f} of processor), with all features "
        f"{joined[0]:.2f} s ({joined[1]:.2f})",
        flush=True,
    )


def headless(specs: list[PixelSpec], side: int, n: int) -> None:
    """Time strokes without a window."""
    sample = neurons((side, side), seed=0)
    box = (slice(0, side), slice(0, side))
    for spec in specs:
        live, labels = LivePixels(Image.of(sample.image), spec), np.zeros((side, side), np.uint8)
        for stroke in strokes_of(sample.mask, 2):
            brushed(labels, stroke)
        began = now()
        live.update({(): labels.copy()}, (), box, wait=False)
        answered = now()
        live.prepare((), box)
        live.update({(): labels.copy()}, (), box)
        print_first(answered - began, now() - began)
        seconds = []
        for stroke in strokes_of(sample.mask, n)[2:]:
            brushed(labels, stroke)
            began = now()
            live.update({(): labels.copy()}, (), box)
            seconds.append(now() - began)
        print_figures(f"headless {spec.kind} {spec.features}", seconds)


def window(specs: list[PixelSpec], side: int, n: int) -> None:
    """Time strokes in the Train dock of a real window."""
    import napari
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    from napari_unetseg.gui.train.train_dock import TrainWidget

    def until(condition: Callable[[], bool]) -> None:
        # Wait like the application: a spinning loop would slow the worker thread.
        while not condition():
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    sample = neurons((side, side), seed=0)
    viewer = napari.Viewer()
    viewer.window.resize(1280, 780)
    layer = viewer.add_image(sample.image, name="cells")
    labels = viewer.add_labels(np.zeros((side, side), np.uint8), name="strokes")
    labels.brush_size = 7
    tool = TrainWidget(viewer)
    viewer.window.add_dock_widget(tool)
    tool.pick.pick(layer)
    for spec in specs:
        tool.live.setChecked(False)
        labels.data = np.zeros((side, side), np.uint8)
        tool.rung.setCurrentIndex(tool.rung.findData(spec.kind))
        tool.features.setCurrentText(FEATURES[spec.features])
        tool.live.setChecked(True)
        live = tool.live_row.live
        seen: list[float] = []

        def note(prediction: object, seen: list[float] = seen) -> None:
            seen.append(time.perf_counter())

        live.predicted.connect(note)
        seconds = []
        for number, (y, x, value) in enumerate(strokes_of(sample.mask, n)):
            before, began = len(seen), now()
            labels.selected_label = value
            labels.paint((y, x), value)
            if number > 0:
                until(lambda before=before, seen=seen: len(seen) > before)
                QApplication.processEvents()
                seconds.append(now() - began)
            until(lambda live=live: not live.busy)
            if number == 1:
                print_first(seconds.pop(), now() - began)
        live.predicted.disconnect(note)
        print_figures(f"window {spec.kind} {spec.features}", seconds)
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--strokes", type=int, default=40)
    parser.add_argument("--features", nargs="*", default=list(FEATURES), choices=list(FEATURES))
    parser.add_argument("--window", action="store_true")
    asked = parser.parse_args()
    specs: list[PixelSpec] = [
        spec(features=features)
        for features in asked.features
        for spec in (LogisticSpec, SoftmaxSpec, MlpSpec)
    ]
    headless(specs, asked.side, asked.strokes)
    if asked.window:
        window(specs, asked.side, asked.strokes)


if __name__ == "__main__":
    main()
