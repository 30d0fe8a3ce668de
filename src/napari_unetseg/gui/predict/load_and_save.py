"""The buttons that load and save models, and their work in another thread."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.gui.predict.live_splitting import Say
from napari_unetseg.gui.shared.model_opener import FILES, Opener
from napari_unetseg.gui.shared.save_dialog import ask_to_save
from napari_unetseg.gui.shared.task import Latest

_PACKAGES = "Model packages (*.zip)"


class LoadAndSave(QWidget):
    """A row with *Load model...* and *Save model...*.

    Parameters
    ----------
    model
        Returns the model to save.
    opened
        Called with a model that was loaded.
    say
        Shows a message.
    """

    def __init__(
        self,
        model: Callable[[], TrainedModel | None],
        opened: Callable[[TrainedModel], None],
        say: Say,
    ) -> None:
        super().__init__()
        self._model, self._say = model, say
        self._opener = Opener(self)
        self._opener.opened.connect(lambda found, path: opened(found))
        self._opener.refused.connect(self._on_refused)
        self._writing = Latest(self)
        self._writing.answered.connect(self._on_written)
        self._writing.refused.connect(self._on_refused)
        self.load_button = QPushButton("Load model...")
        self.load_button.setToolTip(
            "Open a model's file: one saved here, a bioimage.io package, ONNX, TorchScript, or the "
            "state dict of a usual UNet."
        )
        self.load_button.clicked.connect(lambda: self._ask_load())
        self.save_button = QPushButton("Save model...")
        self.save_button.setToolTip("Write the chosen model to a bioimage.io package (.zip).")
        self.save_button.clicked.connect(lambda: self._ask_save())
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.load_button)
        line.addWidget(self.save_button)

    def load(self, path: Path) -> None:
        """Open a model, ours or foreign, in another thread."""
        self._say(f"Reading {path.name}...")
        self._opener.open(path)

    def save(self, path: Path) -> None:
        """Write the chosen model to a package in another thread."""
        model = self._model()
        if model is not None:
            self._say(f"Writing {path.name}...")
            self._writing.ask(lambda progress: _saved(model, path))

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a model", "", FILES)
        if path:
            self.load(Path(path))

    def _ask_save(self) -> None:
        model = self._model()
        if model is None:
            return
        path = ask_to_save(self, "Save the model", f"{model.name.replace(' ', '-')}.zip", _PACKAGES)
        if path is not None:
            self.save(path)

    def _on_written(self, path: Path) -> None:
        self._say(f"Saved {path}. Load model... opens it again, here or in another window.")

    def _on_refused(self, error: InputError) -> None:
        self._say(str(error), problem=True)


def _saved(model: TrainedModel, path: Path) -> Path:
    from napari_unetseg.core.models_io.native import save

    save(model, path)
    return path


__all__ = ["LoadAndSave"]
