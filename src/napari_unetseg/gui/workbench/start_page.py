"""The start page of the Workbench, shown while no layer is open."""

from functools import partial
from pathlib import Path
from typing import Any

from napari.layers._source import layer_source
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.io import file_contents, keeps_calibration, read_lazily
from napari_unetseg.gui.shared.dock_help import About, text_button
from napari_unetseg.gui.shared.image_layers import file_layers
from napari_unetseg.gui.shared.style import FOCUS, PROBLEM

PLUGIN = "napari-unetseg"

SAMPLES = {
    "nuclei": "Nuclei, fluorescence",
    "neurons": "Neurons, phase contrast",
    "coins": "Coins, uneven light",
    "membranes": "Tissue with bright membranes",
    "nuclei_3d": "Nuclei in a volume",
    "moving_nuclei": "Nuclei that move and divide",
}
"""The samples offered here, a choice of those under File > Open Sample, with their names."""

_TEXT = (
    "<b>Open an image to begin.</b><br>Try Predict with a ready-made model first. If none fits, "
    "start at step 1. Each message names the next step."
)


class StartPage(QWidget):
    """A page with three ways to begin: the user's own image, a sample, or the guided tour.

    Signals
    -------
    tour_wanted()
        The user pressed Guided tour.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    tour_wanted = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.open_button = text_button("&Open an image...", "Choose image files.", self._ask)
        self.sample_button = QPushButton("Open a &sample")
        self.sample_button.setToolTip("Try it on an image that comes with the plugin.")
        self.samples = QMenu(self)
        for key, name in SAMPLES.items():
            action = self.samples.addAction(name)
            if action is not None:
                action.triggered.connect(partial(self._open_sample, key))
        self.sample_button.setMenu(self.samples)
        self.tour_button = text_button(
            "&Guided tour",
            "From an image to a table of its objects in a few minutes, on a sample. What you have "
            "open is not touched.",
            self.tour_wanted.emit,
        )
        self.message = _line("You can also drop files on the window.")
        self.message.setObjectName("message")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(About("Workbench", _TEXT, self))
        for button in (self.open_button, self.sample_button, self.tour_button):
            column.addWidget(button)
        column.addWidget(self.message)
        column.addStretch(1)
        self.setStyleSheet(FOCUS)

    def open_files(self, paths: list[str]) -> None:
        """Open files as layers, with their pixel size and axes, or show why they cannot be."""
        try:
            for path in paths:
                self._open(path)
        except (OSError, RuntimeError, ValueError) as error:
            # The errors of napari's readers are among these.
            self.message.setStyleSheet(PROBLEM)
            self.message.setText(
                f"napari could not open this: {error} "
                "Try File > Open File(s), which lets you choose a reader, or save it as TIFF."
            )

    def _open(self, path: str) -> None:
        """Open a file: by this plugin if it holds a pixel size, else by any that napari has."""
        if not keeps_calibration(path):
            self._viewer.open([path], stack=False)
            return
        scene = self._choose_scene(path)
        if scene is None:
            return
        with layer_source(path=path, reader_plugin=PLUGIN):
            layers = file_layers(path, scene)
        for layer in layers:
            self._viewer.add_layer(layer)
        for note in read_lazily(path, scene=str(scene)).notes:
            show_info(f"{layers[0].name}: {note}.")

    def _choose_scene(self, path: str) -> int | None:
        """Return the number of the image to open, chosen by the user if there are several."""
        names, _ = file_contents(path)
        if len(names) == 1:
            return 0
        choices = [f"{number} {name}".rstrip() for number, name in enumerate(names)]
        chosen, accepted = QInputDialog.getItem(
            self,
            "Choose an image",
            f"{Path(path).name} holds {len(names)} images:",
            choices,
            0,
            False,
        )
        return choices.index(chosen) if accepted else None

    def _ask(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Open images", "", "Images (*)")
        if paths:
            self.open_files(paths)

    def _open_sample(self, key: str, checked: bool = False) -> None:
        self._viewer.open_sample(PLUGIN, key)


def _line(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label


__all__ = ["PLUGIN", "SAMPLES", "StartPage"]
