"""Ask for the folder of a project, to save it there or to open it."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_unetseg.core.project import SUFFIX, is_project
from napari_unetseg.gui.shared.save_dialog import ask_to_save


def ask_where_to_save(parent: QWidget) -> Path | None:
    """Ask for a new folder."""
    return ask_to_save(
        parent, "Save the project as a folder", f"project{SUFFIX}", f"Projects (*{SUFFIX})"
    )


def ask_what_to_open(parent: QWidget) -> Path | None:
    """Ask for the folder of a project."""
    path = QFileDialog.getExistingDirectory(parent, "Open a project's folder")
    return checked_project(parent, Path(path)) if path else None


def checked_project(parent: QWidget, path: Path) -> Path | None:
    """Return a folder if it is a project; if not, a message says so."""
    if is_project(path):
        return path
    QMessageBox.information(
        parent, "No project", f"{path.name} is not a project: it has no project.json."
    )
    return None


__all__ = ["ask_what_to_open", "ask_where_to_save", "checked_project"]
