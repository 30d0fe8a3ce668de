"""Measure the responsiveness of the window during training, and the slowdown of the training.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_window.py [--seconds 60] [--side 1024]

Needs a display, real or virtual. A timer of 10 ms in the event loop records its calls; a longer gap
between two calls is time in which no click would have been handled. The first seconds, in which
torch is loaded, are printed separately. Then the same training runs without a window in the main
thread of the same process, to compare the steps per second. Both predict a preview of the whole
field every few seconds, like the dock, unless --no-preview.
"""

import argparse
import time
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import neurons
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.train.train_dock import TrainWidget

INTERVAL = 0.010
STARTING = 10.0


class Pulse:
    """Record the times at which the event loop calls it."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._timer = QTimer()
        self._timer.setInterval(round(1000 * INTERVAL))
        self._timer.timeout.connect(lambda: self.times.append(time.perf_counter()))
        self._timer.start()

    def gaps(self, first: float, last: float) -> np.ndarray:
        """Return the milliseconds between calls, within an interval of `time.perf_counter`."""
        times = np.array([t for t in self.times if first <= t <= last])
        return 1000 * np.diff(times)


def summarise_gaps(gaps: np.ndarray) -> str:
    """Summarise gaps as text."""
    if not len(gaps):
        return "no calls at all"
    middle, high = np.percentile(gaps, [50, 99])
    return (
        f"median {middle:.0f} ms, 99 % {high:.0f} ms, longest {gaps.max():.0f} ms, "
        f"{(gaps > 100).sum()} of {len(gaps)} above 100 ms"
    )


def in_the_window(image: np.ndarray, strokes: np.ndarray, options: TrainOptions) -> None:
    """Train in the dock and print the gaps and the steps a second."""
    viewer = napari.Viewer()
    shown = viewer.add_image(image, name="neurons")
    viewer.add_labels(strokes, name="strokes")
    viewer.layers.selection.active = shown
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    widget.rung.setCurrentIndex(widget.rung.findData("unet"))
    widget.form.set(
        budget=options.budget, climbing=options.climbing, preview_every=options.preview_every
    )
    steps: list[float] = []
    look = widget.show_on_the_way

    def count(thing: Any) -> None:
        if hasattr(thing, "loss"):
            steps.append(time.perf_counter())
        look(thing)

    widget.show_on_the_way = count
    pulse = Pulse()
    began = time.perf_counter()
    widget.run()
    while widget.running:
        QApplication.processEvents()
        time.sleep(0.001)
    ended = time.perf_counter()
    ready = began + STARTING
    print(f"window, first {STARTING:g} s: {summarise_gaps(pulse.gaps(began, ready))}")
    print(f"window, after that: {summarise_gaps(pulse.gaps(ready, ended))}")
    late = [t for t in steps if t > ready]
    print(f"worker thread: {len(late) / (ended - ready):.2f} steps a second")
    print(f"it says: {widget.message.text()}")
    viewer.close()


def in_the_main_thread(image: np.ndarray, strokes: np.ndarray, options: TrainOptions) -> None:
    """Train without a window and print the steps a second."""
    steps: list[float] = []
    given = Image.of(image)
    scaling = fit_normalisation(given, NormalisationSpec())
    train(
        UNetSpec(),
        [TrainingPair(given, strokes)],
        options,
        name="bench",
        watch=lambda record: steps.append(time.perf_counter()),
        preview=lambda segmenter: predict_classes_image(given, segmenter, scaling),
    )
    late = [t for t in steps if t > steps[0] + STARTING / 2]
    print(f"main thread: {(len(late) - 1) / (late[-1] - late[0]):.2f} steps a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--no-preview", action="store_true")
    asked = parser.parse_args()
    sample = neurons((asked.side, asked.side), seed=3)
    strokes = np.zeros(sample.mask.shape, np.uint8)
    rows = np.arange(20, asked.side - 20, 60)
    strokes[rows] = np.where(sample.mask[rows], 2, 1)
    every = TrainOptions.model_fields["preview_every"].default
    options = TrainOptions(
        budget=asked.seconds / 60, climbing="off", preview_every=3600 if asked.no_preview else every
    )
    in_the_window(sample.image, strokes, options)
    in_the_main_thread(sample.image, strokes, options)


if __name__ == "__main__":
    main()
