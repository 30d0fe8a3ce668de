"""The project's name and Save, above every page of the Workbench, and the key Ctrl+S."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.events import disconnect_events
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QKeyEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_unetseg.gui.shared.dock_help import small_button
from napari_unetseg.gui.shared.icons import line_icon
from napari_unetseg.gui.shared.style import PROBLEM

if TYPE_CHECKING:
    from napari_unetseg.gui.project.autosave import Autosave

_NOT_YET = "Not saved yet"
_LAYERS_ONLY = "Ctrl+S saves selected layers. Save keeps all."
_HELP = (
    "Save images, labels, corrections and models as a project (Ctrl+S). The first time it asks for "
    "a folder; later changes are saved automatically."
)


class ProjectBar(QWidget):
    """A line with the project's name and the button Save.

    Ctrl+S saves the project while the Workbench is visible. While there is no project yet, it asks
    for its folder if the keyboard is in the Workbench; elsewhere it stays napari's own, which
    saves the selected layers, and the line says so.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._closed = False
        self.name = QLabel(_NOT_YET)
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.save_button = small_button("Save", _HELP, self.save)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 8, 0)
        row.addWidget(self.name, 1)
        row.addWidget(self.save_button)
        viewer.events.theme.connect(self._paint)
        self._paint()

    @cached_property
    def keeper(self) -> "Autosave":
        """The project of the viewer; its code is imported on first use."""
        from napari_unetseg.gui.project.autosave import Autosave

        keeper = Autosave.of(self._viewer)
        keeper.saved.connect(self._on_saved)
        keeper.opened.connect(self._on_saved)
        keeper.refused.connect(self._on_refused)
        if keeper.path is not None:
            self._on_saved("")
        return keeper

    def follow(self) -> None:
        """Show the state of the project, which something else has loaded."""
        _ = self.keeper

    def save(self) -> None:
        """Save the project; ask for its folder the first time."""
        from napari_unetseg.gui.project.project_files import ask_where_to_save

        if self.keeper.path is not None:
            self._tell("Saving...")
            self.keeper.save()
            return
        path = ask_where_to_save(self)
        if path is not None:
            self._tell("Saving...")
            self.keeper.save_as(path)

    def open(self, path: Path | None = None) -> None:
        """Open a project in addition to the present layers, or ask which."""
        from napari_unetseg.gui.project.project_files import ask_what_to_open, checked_project

        chosen = ask_what_to_open(self) if path is None else checked_project(self, path)
        if chosen is not None:
            self._tell(f"Opening {chosen.stem}...")
            self.keeper.open(chosen)

    def close_bar(self) -> None:
        """Stop listening; the project is still saved."""
        disconnect_events(self._viewer.events, self)
        self._closed = True
        if "keeper" in vars(self):
            self.keeper.saved.disconnect(self._on_saved)
            self.keeper.opened.disconnect(self._on_saved)
            self.keeper.refused.disconnect(self._on_refused)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Watch for Ctrl+S in the window that the bar is in now."""
        super().showEvent(event)
        # No reference to the window is kept: it would keep the viewer alive.
        window = self.window()
        if window is not None:
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take Ctrl+S before napari's menu does, where it saves the project."""
        asked = (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.ShortcutOverride
            and event.matches(QKeySequence.StandardKey.Save)
            and self.isVisible()
            and not self._closed
        )
        if not asked or event is None:
            return False
        if not self._takes_key():
            self._tell(_LAYERS_ONLY)
            return False
        event.accept()
        # A dialog must not open within the event.
        QTimer.singleShot(0, self.save)
        return True

    def _takes_key(self) -> bool:
        if self.keeper.path is not None:
            return True
        bench, window = self.parentWidget(), self.window()
        focus = None if window is None else window.focusWidget()
        return bench is not None and focus is not None and bench.isAncestorOf(focus)

    def _tell(self, text: str, *, problem: bool = False, more: str = "") -> None:
        self.name.setStyleSheet(PROBLEM if problem else "")
        self.name.setText(text)
        self.name.setToolTip(more or text)

    def _on_saved(self, sentence: str) -> None:
        path = self.keeper.path
        if path is not None:
            self._tell(f"<b>{path.stem}</b>, saved", more=f"{path}<br>{sentence}")

    def _on_refused(self, sentence: str) -> None:
        self._tell("Not saved: point here", problem=True, more=sentence)

    def _paint(self, event: object = None) -> None:
        self.save_button.setIcon(line_icon("save", self._viewer))


__all__ = ["ProjectBar"]
