"""A box of models: those of the session first, then the shipped ones."""

from collections.abc import Callable, Sequence

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_unetseg.core.image import AXES
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.gui.shared.layers import axes_of
from napari_unetseg.gui.shared.name_box import NameBox

HEADING = "Shipped with napari-unetseg"
"""Heading above the shipped models, here and in the Models dock."""

_NO_MODEL = ""
_NEEDS_STACK = "Trained on stacks: the image has no Z axis. Name its axes in the line Axes."


class ModelChoice(NameBox):
    """A box to choose one model.

    A shipped model is read from its file on first use, in some hundredths of a second. Models of
    stacks cannot be chosen for an image without Z, see `fit_to`.
    """

    _stacks = True

    def fit_to(self, layer: Layer | None) -> None:
        """Offer models of stacks only if a layer has the axis Z; now and when the box is filled."""
        self._stacks = layer is None or not 2 <= layer.ndim <= len(AXES) or "Z" in axes_of(layer)
        self._enable()

    def fill(
        self,
        models: Sequence[TrainedModel],
        *,
        before: str = "",
        after: str = "",
        ships: Sequence[str] | None = None,
    ) -> None:
        """Replace the list of models without sending signals, and choose the first.

        Parameters
        ----------
        models
            The models of the session.
        before, after
            Text of the entry for no model, before or after the models of the session.
        ships
            Names of the shipped models that are offered, all by default.
        """
        with QSignalBlocker(self):
            self.clear()
            if before:
                self.addItem(before, None)
            names = shipped.names() if ships is None else ships
            used = {name: _used(models, name) for name in names}
            for model in models:
                if all(model is not one for one in used.values()):
                    self.addItem(model.name, model)
            if after:
                self.addItem(after, None)
            add_shipped(self, names, lambda name: used[name] or name)
            self.setCurrentIndex(1 if self.itemData(0) == _NO_MODEL else 0)
            self._enable()

    def _enable(self) -> None:
        for row in range(self.count()):
            model = self.itemData(row)
            if model is not None and not isinstance(model, str) and model.ndim == 3:
                item = self.model().item(row)  # type: ignore[union-attr]  # a standard model
                item.setEnabled(self._stacks)
                item.setToolTip("" if self._stacks else _NEEDS_STACK)

    def chosen(self) -> TrainedModel | None:
        """Return the chosen model."""
        chosen: TrainedModel | str | None = self.currentData()
        return shipped.open_shipped(chosen) if isinstance(chosen, str) else chosen

    def choose(self, model: TrainedModel | str | None) -> bool:
        """Choose a model, a shipped one by its name; return whether it is offered."""
        rows = (k for k in range(self.count()) if _same(self.itemData(k), model))
        at = next(rows, -1)
        if at >= 0:
            self.setCurrentIndex(at)
        return at >= 0


def beside(box: QComboBox, button: QPushButton) -> QWidget:
    """Return a widget with a box and a button beside it."""
    both = QWidget()
    line = QHBoxLayout(both)
    line.setContentsMargins(0, 0, 0, 0)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    line.addWidget(box, 1)
    line.addWidget(button)
    return both


def add_shipped(
    box: QComboBox, names: Sequence[str], data_of: Callable[[str], object] = lambda name: name
) -> None:
    """Add shipped models to a box, under a heading that cannot be chosen.

    Parameters
    ----------
    data_of
        Maps a name to the item data of its entry.
    """
    if not names:
        return
    box.addItem(HEADING, _NO_MODEL)
    item = box.model().item(box.count() - 1)  # type: ignore[union-attr]  # a standard model
    item.setFlags(item.flags() & ~(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable))
    for name in names:
        box.addItem(name, data_of(name))
        box.setItemData(box.count() - 1, shipped.LINES.get(name, ""), Qt.ItemDataRole.ToolTipRole)


def _used(models: Sequence[TrainedModel], name: str) -> TrainedModel | None:
    """Return a shipped model if it is in the session."""
    named = [one for one in models if one.name == name]
    return next((one for one in named if one is shipped.open_shipped(name)), None)


def _same(data: object, model: TrainedModel | str | None) -> bool:
    if not isinstance(model, str) or data == model:
        return data is model or data == model
    # A shipped model that was used is one of the session.
    return model in shipped.names() and data is shipped.open_shipped(model)


__all__ = ["HEADING", "ModelChoice", "add_shipped", "beside"]
