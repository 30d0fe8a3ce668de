"""The widgets of the Batch dock and their layout."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.gui.batch.batch_axes import BatchAxes
from napari_unetseg.gui.batch.batch_list import BatchList
from napari_unetseg.gui.batch.recipe_editor import RecipeEditor
from napari_unetseg.gui.shared.dock_help import About
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layer_provenance import has_steps
from napari_unetseg.gui.shared.message_line import MessageLine
from napari_unetseg.gui.shared.more import More
from napari_unetseg.gui.shared.style import FOCUS

_BUTTONS = {
    "take": ("Take", "Replace the recipe by the steps of this layer."),
    "open": ("Open...", "Open a recipe file (.yaml)."),
    "save": ("Save...", "Save the recipe, with its model beside it."),
    "export": (
        "Export...",
        "Show the recipe as a command line, a Python script or a methods paragraph.",
    ),
    "files": ("Add files...", "Choose images. You can drop files or a folder here as well."),
    "folder": ("Add folder...", "Add all images of a folder."),
    "remove": ("Remove", "Remove the chosen images from the list, or all if none is chosen."),
    "place": ("...", "Choose the folder for the results."),
    "look": (
        "Look at one",
        "Open the chosen image with its result, which is computed now unless it is done.",
    ),
    "run": ("Run all", "Run the recipe on every image of the list."),
    "cancel": ("Cancel", "Stop. Finished images are kept, and the next run continues from there."),
    "show": ("Show", "Open the folder of the results."),
}


class BatchPage(QWidget):
    """The page of the Batch dock; `buttons` holds its buttons by name.

    Run buttons, progress and message stay visible at the bottom; the rest scrolls.

    Parameters
    ----------
    viewer
        The napari viewer.
    help_text
        Purpose of the dock.
    """

    def __init__(self, viewer: Any, help_text: str) -> None:
        super().__init__()
        self.buttons = {name: _button(*words) for name, words in _BUTTONS.items()}
        self.pick = LayerChoice(viewer, has_steps, nothing="no layer")
        self.pick.setObjectName("steps")
        self.pick.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.editor = RecipeEditor()
        self.remarks = _line()
        self.remarks.setStyleSheet("font-style: italic;")
        self.remarks.hide()
        self.axes_line = BatchAxes()
        self.images = BatchList()
        self.count = _line()
        self.out = QLineEdit()
        self.out.setPlaceholderText("Folder for the results")
        self.out.setObjectName("out")
        self.keep = QCheckBox("Keep finished images")
        self.keep.setChecked(True)
        self.keep.setToolTip(
            "Continue where an earlier run stopped. Changed images are repeated, and all images if "
            "the recipe changed."
        )
        self.flattened = QCheckBox("Save flattened images too")
        self.more = More()
        self.bar = QProgressBar()
        self.message = MessageLine()
        font = self.buttons["run"].font()
        font.setBold(True)
        self.buttons["run"].setFont(font)
        self.buttons["place"].setMaximumWidth(34)
        self._lay_out(help_text)
        self.setStyleSheet(FOCUS)

    def remark(self, text: str) -> None:
        """Show remarks on the recipe below it."""
        self.remarks.setText(text)
        self.remarks.setVisible(bool(text))

    def say(self, message: str, *, problem: bool = False) -> None:
        """Show a message under the buttons."""
        self.message.say(message, problem=problem)

    def _lay_out(self, help_text: str) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(About("Batch", help_text, self))
        column.addWidget(_head("Recipe"))
        column.addLayout(_row(QLabel("Steps of"), self.pick, stretch=1))
        column.addWidget(self.editor.remark)
        column.addWidget(self.remarks)
        column.addWidget(_head("Images"))
        column.addWidget(self.axes_line)
        column.addWidget(self.images, 1)
        column.addWidget(self.count)
        column.addLayout(self._buttons("files", "folder"))
        column.addLayout(_row(QLabel("Results"), self.out, self.buttons["place"], stretch=1))
        self.more.add("Recipe", self._buttons_in_a_row("take", "open", "save", "export"))
        self.more.add("", self.editor)
        self.more.add("Images", self._buttons_in_a_row("remove", "look"))
        self.more.add("Results", self.buttons["show"])
        self.more.add("", self.keep)
        self.more.add("", self.flattened)
        column.addWidget(self.more)
        self.scroller = scroller = QScrollArea()
        scroller.setWidgetResizable(True)
        scroller.setFrameShape(QScrollArea.Shape.NoFrame)
        scroller.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroller.setWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(scroller, 1)
        foot = QVBoxLayout()
        foot.setContentsMargins(8, 4, 8, 6)
        foot.addLayout(self._buttons("run", "cancel"))
        foot.addWidget(self.bar)
        foot.addWidget(self.message)
        whole.addLayout(foot)

    def _buttons_in_a_row(self, *names: str) -> QWidget:
        row, line = QWidget(), self._buttons(*names)
        line.setContentsMargins(0, 0, 0, 0)
        row.setLayout(line)
        return row

    def _buttons(self, *names: str) -> QHBoxLayout:
        return _row(*(self.buttons[name] for name in names))


def _button(text: str, help_text: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(help_text)
    button.setMinimumWidth(0)
    return button


def _line() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


def _head(text: str) -> QLabel:
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def _row(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Lay out a row of widgets; the one numbered `stretch` takes the remaining width."""
    line = QHBoxLayout()
    line.setSpacing(4)
    for number, widget in enumerate(widgets):
        line.addWidget(widget, int(number == stretch))
    return line


__all__ = ["BatchPage"]
