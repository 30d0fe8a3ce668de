"""`ModelChoice`: a box of models, those of the session first, then those that ship."""

from collections.abc import Callable, Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox

from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped

HEADING = "Shipped with napari-unetseg"
"""What stands above the shipped models, here and in the Models dock."""

_NO_MODEL = ""


class ModelChoice(QComboBox):
    """A choice of one model.

    A shipped one is read from its file when it is asked for: some hundredths of a second, once.
    """

    def fill(
        self,
        models: Sequence[TrainedModel],
        *,
        before: str = "",
        after: str = "",
        ships: bool = True,
    ) -> None:
        """List models anew, without a word to anybody, and choose what comes first.

        Parameters
        ----------
        models
            Of the session.
        before, after
            What to call the choice of no model before those of the session, or after them.
        ships
            Whether those that ship are offered.
        """
        with QSignalBlocker(self):
            self.clear()
            if before:
                self.addItem(before, None)
            for model in models:
                self.addItem(model.name, model)
            if after:
                self.addItem(after, None)
            add_shipped(self, [name for name in shipped.names() if ships and not _in(models, name)])
            self.setCurrentIndex(1 if self.itemData(0) == _NO_MODEL else 0)

    def chosen(self) -> TrainedModel | None:
        """Return the chosen model."""
        chosen: TrainedModel | str | None = self.currentData()
        return shipped.open_shipped(chosen) if isinstance(chosen, str) else chosen

    def choose(self, model: TrainedModel | str | None) -> bool:
        """Choose a model, a shipped one by its name; return whether it is there."""
        rows = (k for k in range(self.count()) if _same(self.itemData(k), model))
        at = next(rows, -1)
        if at >= 0:
            self.setCurrentIndex(at)
        return at >= 0


def add_shipped(
    box: QComboBox, names: Sequence[str], data_of: Callable[[str], object] = lambda name: name
) -> None:
    """Add shipped models to a box, under a heading that cannot be chosen.

    Parameters
    ----------
    data_of
        What the box is to hold for a name.
    """
    if not names:
        return
    box.addItem(HEADING, _NO_MODEL)
    item = box.model().item(box.count() - 1)  # type: ignore[union-attr]  # a standard model
    item.setFlags(item.flags() & ~(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable))
    for name in names:
        box.addItem(name, data_of(name))


def _in(models: Sequence[TrainedModel], name: str) -> bool:
    """Whether a shipped model was taken into the session."""
    return any(one.name == name and one is shipped.open_shipped(name) for one in models)


def _same(data: object, model: TrainedModel | str | None) -> bool:
    return data == model if isinstance(model, str) else data is model


__all__ = ["HEADING", "ModelChoice", "add_shipped"]
