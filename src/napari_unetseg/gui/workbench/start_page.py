"""The start page of the Workbench, shown while no layer is open."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers._source import layer_source
from napari.utils.notifications import show_info
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.io import file_contents, keeps_calibration, read_lazily
from napari_unetseg.gui.project.recent_projects import recent_projects
from napari_unetseg.gui.shared.dock_help import About, small_button, text_button
from napari_unetseg.gui.shared.image_layers import file_layers
from napari_unetseg.gui.shared.message_line import MessageLine
from napari_unetseg.gui.shared.style import FOCUS

if TYPE_CHECKING:
    from napari_unetseg.gui.predict.model_finder import ModelFinder

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
    "<b>Open an image to begin.</b><br>A ready-made model may fit it: press Predict. If none does, "
    "go on with Draft or Learn. Each message names the next step."
)
_MODELS = "<b>Models that are ready to use.</b> What looks like your image? Click it."
_RECENT = 3


class StartPage(QWidget):
    """A page with the ways to begin: an image, a sample, clicks, a project, a model, or the tour.

    Signals
    -------
    clicks_wanted()
        The user pressed Click objects, and an image is open.
    tour_wanted()
        The user pressed Guided tour.
    project_wanted(object)
        The user wants to open a project: its folder, or None to be asked.
    model_wanted(str)
        The user pressed the picture of a shipped model: its name.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    clicks_wanted = Signal()
    tour_wanted = Signal()
    project_wanted = Signal(object)
    model_wanted = Signal(str)

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
        self.click_button = text_button(
            "&Click objects",
            "Outline the objects of an image by clicking them, in Correct. If no image is open, "
            "choose one first.",
            self._click,
        )
        self.tour_button = text_button(
            "&Guided tour",
            "From an image to a table of its objects in a few minutes, on a sample. What you have "
            "open is not touched.",
            self.tour_wanted.emit,
        )
        self.project_button = text_button(
            "Open a &project...",
            "Open the layers and models of a saved project.",
            lambda: self.project_wanted.emit(None),
        )
        self.message = MessageLine("You can also drop files on the window.")
        self.recent = QVBoxLayout()
        self.recent.setSpacing(2)
        self.finder: ModelFinder | None = None
        page = QWidget()
        self._column = column = QVBoxLayout(page)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(6)
        column.addWidget(About("Workbench", _TEXT, self))
        ways = QGridLayout()
        ways.setSpacing(6)
        first = (self.open_button, self.sample_button, self.click_button)
        for number, button in enumerate((*first, self.project_button, self.tour_button)):
            ways.addWidget(button, *divmod(number, 2))
        column.addLayout(ways)
        column.addLayout(self.recent)
        column.addWidget(self.message)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scroll)
        self.setStyleSheet(FOCUS)

    def show_models(self) -> None:
        """Show the shipped models as pictures, once; their code is imported here."""
        from napari_unetseg.core.models_io import shipped_models as shipped
        from napari_unetseg.gui.predict.model_finder import ModelFinder

        if self.finder is None and shipped.names():
            self.finder = ModelFinder(_MODELS)
            self.finder.taken.connect(self._on_model)
            self._column.insertWidget(self._column.count() - 1, self.finder)
            self.finder.show_examples()

    def showEvent(self, event: QShowEvent | None) -> None:
        """List the projects that were used last."""
        super().showEvent(event)
        while (item := self.recent.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for path in recent_projects()[:_RECENT]:
            button = small_button(
                path.stem, f"Open the project {path}.", partial(self.project_wanted.emit, path)
            )
            self.recent.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)

    def _on_model(self, name: str) -> None:
        if not self._viewer.layers:
            self.message.say(f"{name} is chosen. Next: open an image, then press Predict.")
        self.model_wanted.emit(name)

    def open_files(self, paths: list[str]) -> None:
        """Open files as layers, with their pixel size and axes, or show why they cannot be."""
        try:
            for path in paths:
                self._open(path)
        except (OSError, RuntimeError, ValueError) as error:
            # The errors of napari's readers are among these.
            self.message.say(
                f"napari could not open this: {error} "
                "Try File > Open File(s), which lets you choose a reader, or save it as TIFF.",
                problem=True,
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

    def _click(self) -> None:
        if not any(isinstance(layer, ImageLayer) for layer in self._viewer.layers):
            self._ask()
        if any(isinstance(layer, ImageLayer) for layer in self._viewer.layers):
            self.clicks_wanted.emit()

    def _open_sample(self, key: str, checked: bool = False) -> None:
        self._viewer.open_sample(PLUGIN, key)


def _line(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label


__all__ = ["PLUGIN", "SAMPLES", "StartPage"]
