"""The Project dock: images, labels and models in one folder, saved automatically."""

from pathlib import Path

from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.gui.project.autosave import SECONDS, Autosave
from napari_unetseg.gui.project.project_files import ask_what_to_open, ask_where_to_save
from napari_unetseg.gui.shared.dock_help import About
from napari_unetseg.gui.shared.docking import open_as_tab, when_undocked
from napari_unetseg.gui.shared.message_line import MessageLine
from napari_unetseg.gui.shared.style import FOCUS


class ProjectWidget(QWidget):
    """Save and open a project.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Project"
    help_text = "Save images, labels, corrections and models in one folder, automatically."

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__()
        self.keeper = Autosave.of(napari_viewer)
        about = About(self.title, self.help_text, self)
        self.place = QLabel()
        self.place.setWordWrap(True)
        self.save_as_button = QPushButton("Save project as...")
        self.save_as_button.setToolTip("Choose a new folder and save everything in it.")
        self.save_as_button.clicked.connect(lambda: self._ask_save())
        self.save_button = QPushButton("Save now")
        self.save_button.setToolTip("Save all changes since the last save.")
        self.save_button.clicked.connect(lambda: self.keeper.save())
        self.open_button = QPushButton("Open project...")
        self.open_button.setToolTip("Add the layers and models of a project to this window.")
        self.open_button.clicked.connect(lambda: self._ask_open())
        self.automatic = QCheckBox(f"Save every {SECONDS:.0f} seconds")
        self.automatic.setToolTip("Only changes are written, in the background.")
        self.automatic.setChecked(True)
        self.automatic.toggled.connect(self.keeper.set_automatic)
        self.message = MessageLine()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        row = QHBoxLayout()
        row.addWidget(self.save_as_button)
        row.addWidget(self.open_button)
        column.addWidget(about)
        column.addLayout(row)
        column.addWidget(self.place)
        column.addWidget(self.automatic)
        column.addWidget(self.save_button)
        column.addWidget(self.message)
        column.addStretch(1)
        self.setMinimumWidth(280)
        self.setStyleSheet(FOCUS)
        self.keeper.saved.connect(self._on_told)
        self.keeper.opened.connect(self._on_told)
        self.keeper.refused.connect(self._on_refused)
        self._refresh()
        if self.keeper.problem:
            self._on_refused(self.keeper.problem)
        self._closed = False
        when_undocked(self, self.close_tool)
        open_as_tab(self)

    def close_tool(self) -> None:
        """Disconnect the dock; the project is still saved."""
        if self._closed:
            return
        self._closed = True
        for signal, slot in (
            (self.keeper.saved, self._on_told),
            (self.keeper.opened, self._on_told),
            (self.keeper.refused, self._on_refused),
        ):
            signal.disconnect(slot)

    def save_as(self, path: Path) -> None:
        """Save everything as a new project."""
        self.message.setText("Saving...")
        self.keeper.save_as(path)
        self.keeper.set_automatic(self.automatic.isChecked())
        self._refresh()

    def open(self, path: Path) -> None:
        """Open a project in addition to the present layers."""
        self.message.setText(f"Opening {path.name}...")
        self.keeper.open(path)

    def _ask_save(self) -> None:
        path = ask_where_to_save(self)
        if path is not None:
            self.save_as(path)

    def _ask_open(self) -> None:
        path = ask_what_to_open(self)
        if path is not None:
            self.open(path)

    def _on_told(self, sentence: str) -> None:
        self.message.say(sentence)
        self._refresh()

    def _on_refused(self, sentence: str) -> None:
        self.message.say(sentence, problem=True)
        self._refresh()

    def _refresh(self) -> None:
        path = self.keeper.path
        self.place.setText(
            "Not saved yet." if path is None else f"<b>{path.name}</b> in {path.parent}"
        )
        self.save_button.setEnabled(path is not None)
        self.automatic.setEnabled(path is not None)
