"""Opening of models in another thread, with a question first if the file is a program."""

from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.open_segmenter import check_weights
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.gui.shared.task import Latest

FILES = "Models (*.zip *.onnx *.pt *.pth *.torchscript *.yaml)"
"""File filter of the dialogs."""


class Opener(QObject):
    """Opener of models made by this plugin or by other programs.

    Signals
    -------
    opened(object, object)
        The model, and the path it came from.
    refused(object)
        The `InputError` that is the reason why it cannot be opened.
    """

    opened = Signal(object, object)
    refused = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._files = Latest(self)
        self._files.answered.connect(self._on_answer)
        self._files.refused.connect(self.refused)

    @property
    def busy(self) -> bool:
        """Whether a file is being read."""
        return self._files.busy

    def open(self, path: Path, *, trust: bool = False) -> None:
        """Open a file or folder; `opened` or `refused` follow."""
        self._files.ask(lambda progress: _opened(path, trust))

    def _on_answer(self, answer: tuple[Path, Any]) -> None:
        path, found = answer
        if isinstance(found, TrainedModel):
            self.opened.emit(found, path)
        elif ask(self.parent(), "Run a program?", f"{found} Open it?"):
            self.open(path, trust=True)
        else:
            self.refused.emit(InputError(f"{path.name} was not opened: nothing was run."))


def ask(parent: Any, title: str, question: str) -> bool:
    """Ask a yes-or-no question; the return key answers no."""
    within = parent if isinstance(parent, QWidget) else None
    buttons = QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
    no = QMessageBox.StandardButton.No
    return QMessageBox.question(within, title, question, buttons, no) != no


def _opened(path: Path, trust: bool) -> tuple[Path, TrainedModel | str]:
    from napari_unetseg.core.models_io.foreign import NeedsTrust, open_model

    try:
        model = open_model(path, trust=trust)
        if not model.state:
            check_weights(model)
    except NeedsTrust as error:
        return path, str(error)
    return path, model


__all__ = ["FILES", "Opener", "ask"]
