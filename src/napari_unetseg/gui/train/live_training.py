"""Live mode: refit of the model and prediction of the visible part after every stroke."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.events import disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.layers import image_of, index_along, labels_over
from napari_unetseg.gui.shared.navigate import camera_of, in_view
from napari_unetseg.gui.shared.task import Task

WAIT_MS = 15
"""Milliseconds to wait for more of a stroke before fitting."""

Box = tuple[slice, slice]
Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LivePrediction:
    """Predicted classes of the visible part of a plane.

    Parameters
    ----------
    layer, labels
        The image and its strokes.
    index
        Index of the plane.
    box, classes
        A box of the plane and its classes, uint8.
    last_class
        The largest label of all strokes, visible or not.
    """

    layer: Layer
    labels: Labels
    index: Index
    box: Box
    classes: NDArray[np.uint8]
    last_class: int


@dataclass(eq=False)
class _Making:
    """A computation: its layer, the plane on screen, and the learner once there is one."""

    layer: Layer
    index: Index
    learner: Any = None


class Live(QObject):
    """A predictor with a model that is refitted whenever the strokes on an image change.

    One computation runs at a time, and all changes meanwhile go into the next one, so there is no
    queue of stale results and no starvation while the mouse is dragged. Features of the pretrained
    network are computed beside it from the beginning, before anything is painted, and join when
    they are there.

    Parameters
    ----------
    viewer
        The napari viewer.
    plane
        Returns the index of the plane of a layer on screen, or None.

    Signals
    -------
    started()
        A computation begins.
    predicted(object)
        A `LivePrediction`.
    refused(str)
        The reason why nothing can be predicted yet.
    """

    started = Signal()
    predicted = Signal(object)
    refused = Signal(str)

    def __init__(
        self, viewer: Any, plane: Callable[[Layer], Index | None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._plane = viewer, plane
        self._layer: Layer | None = None
        self._labels: Labels | None = None
        self._setting: tuple[Any, ...] = ()
        self._learner: Any = None
        self._making: _Making | None = None
        self._all = True
        self._painted_on: Index | None = None
        self._painted = False
        self._task: Task | None = None
        self._preparing: Task | None = None
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._start)

    @property
    def on(self) -> bool:
        """Whether live mode is on."""
        return self._layer is not None

    @property
    def busy(self) -> bool:
        """Whether a prediction is pending."""
        tasks = (self._task, self._preparing)
        return self._timer.isActive() or any(task is not None for task in tasks)

    def begin(
        self,
        layer: Layer,
        labels: Labels,
        spec: PixelSpec,
        features_from: TrainedModel | None,
        seed: int,
    ) -> None:
        """Follow an image and its strokes; refit if the options changed."""
        setting = (spec, features_from, seed, data_version(layer))
        others = (self._layer, self._labels) != (layer, labels)
        if not others and setting == self._setting:
            return
        if others:
            self.end()
            self._layer, self._labels = layer, labels
            for event in ("paint", "labels_update", "data", "set_data"):
                getattr(labels.events, event).connect(self._on_painted)
            layer.events.data.connect(self._on_image)
            camera = camera_of(self._viewer)
            camera.events.center.connect(self._on_moved)
            camera.events.zoom.connect(self._on_moved)
            self._viewer.dims.events.current_step.connect(self._on_moved)
            self._viewer.dims.events.ndisplay.connect(self._on_moved)
            self._viewer.dims.events.order.connect(self._on_moved)
        self._setting = setting
        self._forget()
        self.later()

    def end(self) -> None:
        """Stop following, and drop the pending prediction."""
        self._timer.stop()
        self._again = False
        for task in (self._task, self._preparing):
            if task is not None:
                task.cancel()
        for layer in (self._layer, self._labels):
            if layer is not None:
                disconnect_events(layer.events, self)
        disconnect_events(camera_of(self._viewer).events, self)
        disconnect_events(self._viewer.dims.events, self)
        self._layer = self._labels = self._learner = self._making = None
        self._setting, self._all = (), True
        self._painted_on, self._painted = None, False

    def same_plane(self, prediction: LivePrediction) -> bool:
        """Whether a prediction is of the plane that is on screen now."""
        return self._plane(prediction.layer) == prediction.index

    def later(self) -> None:
        """Update after a short wait, or when the current computation ends."""
        if self._task is not None:
            self._again = True
        elif self.on and not self._timer.isActive():
            self._timer.start()

    def _strokes(self, labels: NDArray[Any], index: Index) -> dict[Index, NDArray[Any]]:
        """Return the strokes of the plane on screen, or those of one plane where it was painted."""
        if labels.ndim > 2 or not index:
            return {index: _plane_of(labels, index)}
        before = self._painted_on
        if before is None or self._painted:
            self._painted_on = index
        self._painted = False
        now = self._painted_on or index
        strokes = {now: np.array(labels)}
        if before is not None and before != now:
            strokes[before] = np.zeros_like(labels)
        return strokes

    def _on_painted(self, event: object = None) -> None:
        self._painted |= getattr(event, "type", "") in ("paint", "data")
        if getattr(event, "type", "") == "data":
            self._all = True
        self.later()

    def _on_moved(self, event: object = None) -> None:
        self.later()

    def _on_image(self, event: object = None) -> None:
        self._forget()
        self.later()

    def _forget(self) -> None:
        """Drop the learner, whose image or options are no longer the current ones."""
        self._learner, self._making, self._all = None, None, True
        if self._preparing is not None:
            self._preparing.cancel()

    def _start(self) -> None:
        layer, labels = self._layer, self._labels
        if layer is None or labels is None or self._task is not None:
            return
        index = self._plane(layer)
        if index is None:
            return
        learner, setting, image = self._learner, self._setting, image_of(layer)
        axes = image.axes.replace("C", "")
        at, painted = index_along(layer, axes, index), labels_over(labels, layer, copy=False)
        strokes = self._strokes(painted, at)
        box = in_view(layer)
        others = painted if self._all and painted.ndim > 2 else None
        self._all = False
        making = self._making = _Making(layer, index)

        def work(progress: Progress) -> LivePrediction:
            fitted = making.learner = learner or _new_learner(image, setting)
            if others is not None:
                strokes.update(_painted_planes(others, skip=at))
            place, classes = fitted.update(strokes, at, box, wait=False, progress=progress)
            return LivePrediction(layer, labels, index, place, classes, fitted.values[-1])

        self._task = Task(work, self)
        self._task.returned.connect(self._on_answer)
        self._task.refused.connect(self._on_refused)
        self._task.failed.connect(self._on_failed)
        self._task.finished.connect(self._on_finished)
        self.started.emit()
        self._task.start()

    def _on_answer(self, prediction: LivePrediction) -> None:
        if self._making is not None:
            self._keep(self._making)
            self.predicted.emit(prediction)

    def _on_refused(self, error: InputError) -> None:
        if self._making is not None:
            self._keep(self._making)
            self.refused.emit(str(error))

    def _keep(self, making: _Making) -> None:
        """Keep the learner, and compute what it misses of the pretrained features."""
        learner = self._learner = making.learner
        if learner is None or self._preparing is not None:
            return
        index, box = making.index, in_view(making.layer)
        if not learner.missing(index, box):
            return

        def work(progress: Progress) -> None:
            learner.prepare(index, box, progress=progress)

        task = self._preparing = Task(work, self)
        task.failed.connect(self._on_failed)
        task.finished.connect(self._on_prepared)
        task.start()

    def _on_prepared(self) -> None:
        if self._preparing is not None:
            self._preparing.deleteLater()
        self._preparing = None
        self.later()

    def _on_failed(self, error: Exception) -> None:
        self._again = False
        raise error

    def _on_finished(self) -> None:
        if self._task is not None:
            self._task.deleteLater()
        self._task = None
        if self._again:
            self._again = False
            self._start()


def _new_learner(image: Image, setting: tuple[Any, ...]) -> Any:
    """Make the learner; the first call imports torch, which takes a moment."""
    from napari_unetseg.core.nn.training.live_pixels import LivePixels

    spec, features_from, seed, _ = setting
    return LivePixels(image, spec, features_from=features_from, seed=seed)


def _plane_of(data: Any, index: Index) -> NDArray[Any]:
    """Copy the strokes of a plane; labels of one plane apply to all."""
    return np.array(data if data.ndim == 2 else data[index])


def _painted_planes(labels: Any, *, skip: Index) -> dict[Index, NDArray[Any]]:
    """Return the planes of a stack that have strokes."""
    planes = (index for index in np.ndindex(*labels.shape[:-2]) if index != skip)
    found = ((index, np.array(labels[index])) for index in planes)
    return {index: plane for index, plane in found if plane.any()}


__all__ = ["Live", "LivePrediction"]
