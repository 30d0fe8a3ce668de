"""Number of strokes and pixels of each class of a Labels layer, counted again where it changes.

Only planes that were painted, undone or redone are counted again, in another thread, and of these
only the islands of labelled rows and columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.events import disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.core.annotation.annotation import MAX_CLASSES
from napari_unetseg.core.progress import Progress, track
from napari_unetseg.gui.shared.task import Latest, Work
from napari_unetseg.gui.shared.undo_history import changes_since, histories

_WAIT_MS = 40

Index = tuple[int, ...]


@dataclass(frozen=True)
class ClassCount:
    """Painted pixels of a class, and the strokes that they form: connected pixels of a plane."""

    pixels: int = 0
    strokes: int = 0

    def in_words(self, whole: int = 0) -> str:
        """Return the number of strokes, or the share of `whole` pixels, to show beside a name."""
        if not self.pixels:
            return "nothing yet"
        if whole:
            percent = 100 * self.pixels / whole
            return f"{percent:.1f} %" if percent >= 0.1 else "< 0.1 %"
        return "1 stroke" if self.strokes == 1 else f"{self.strokes:,} strokes"

    def __add__(self, other: "ClassCount") -> "ClassCount":
        return ClassCount(self.pixels + other.pixels, self.strokes + other.strokes)


Counts = dict[int, ClassCount]


class StrokeCounts(QObject):
    """The counts of one Labels layer in memory, which are followed through its undo history.

    Signals
    -------
    changed()
        The counts are new.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer: Labels | None = None
        self._data: Any = None
        self._history: Any = None
        self._steps: list[list[Any]] = []
        self._planes: dict[Index, Counts] = {}
        self._due: set[Index] = set()
        self._latest = Latest(self)
        self._latest.answered.connect(self._on_counted)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self._follow)

    @property
    def busy(self) -> bool:
        """Whether newer counts are on their way."""
        return self._timer.isActive() or self._latest.busy

    @property
    def known(self) -> bool:
        """Whether anything was counted: labels on disk are not, nor are pyramids."""
        return bool(self._planes)

    def counts(self) -> Counts:
        """Return the latest counts of the painted classes, of all planes together."""
        found: Counts = {}
        for plane in self._planes.values():
            for value, count in plane.items():
                found[value] = found.get(value, ClassCount()) + count
        return found

    def follow(self, layer: Labels | None) -> None:
        """Count the strokes of a layer from now on, or of none."""
        if layer is self._layer:
            return
        if self._layer is not None:
            disconnect_events(self._layer.events, self)
        self._timer.stop()
        self._latest.forget()
        self._layer, self._data = layer, None
        self._planes, self._due = {}, set()
        if layer is not None:
            # napari sends no event of its own when a stroke is undone.
            for event in ("paint", "labels_update", "data", "set_data"):
                getattr(layer.events, event).connect(self._on_event)
            self._timer.start()
        self.changed.emit()

    def _on_event(self, event: object = None) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _follow(self) -> None:
        """Find the planes that changed, and count them."""
        layer = self._layer
        if layer is None or layer.multiscale or not isinstance(layer.data, np.ndarray):
            return
        history, shape = histories(layer)[0], layer.data.shape
        same = layer.data is self._data and history is self._history
        changes = changes_since(self._steps, history, shape) if same else None
        self._data, self._history, self._steps = layer.data, history, list(history)
        if changes is None:
            self._planes = {}
            self._due = set(np.ndindex(*shape[:-2]))
        else:
            for index, _, _ in changes:
                lead = np.stack(index[:-2], 1) if len(shape) > 2 else np.zeros((1, 0), np.intp)
                self._due.update(tuple(map(int, at)) for at in np.unique(lead, axis=0))
        if self._due:
            self._count()

    def _count(self) -> None:
        """Count the planes that are due, or look again when the planes before are counted."""
        if self._latest.busy:
            self._timer.start()
        elif self._due:
            due, self._due = sorted(self._due), set()
            self._latest.ask(_counting(self._data, due))

    def _on_counted(self, answer: tuple[Any, dict[Index, Counts]]) -> None:
        data, found = answer
        if data is self._data:
            self._planes.update(found)
            self.changed.emit()


def _counting(data: NDArray[Any], planes: list[Index]) -> Work:
    """Return the counting of planes, for another thread."""

    def work(progress: Progress) -> tuple[Any, dict[Index, Counts]]:
        return data, {at: count_strokes(data[at]) for at in track(planes, progress, "counting")}

    return work


def count_strokes(plane: NDArray[Any]) -> Counts:
    """Count the pixels and strokes of each class of a plane (Y, X).

    A stroke is what `Annotation.strokes` takes for one. Of more values than a model can have
    classes, which are ids of objects, the first are counted alone.
    """
    from scipy.ndimage import label

    found: Counts = {}
    around = np.ones((3, 3))
    for island in _islands(plane):
        for value in np.unique(island[island > 0]):
            if int(value) not in found and len(found) >= MAX_CLASSES:
                continue
            mask = island == value
            count = ClassCount(int(np.count_nonzero(mask)), int(label(mask, around)[1]))
            found[int(value)] = found.get(int(value), ClassCount()) + count
    return found


def _islands(plane: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the parts of a plane that empty rows and columns separate: no stroke is in two."""
    for rows in _spans(np.any(plane, 1)):
        band = plane[rows]
        for columns in _spans(np.any(band, 0)):
            yield band[:, columns]


def _spans(filled: Any) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


__all__ = ["ClassCount", "StrokeCounts", "count_strokes"]
