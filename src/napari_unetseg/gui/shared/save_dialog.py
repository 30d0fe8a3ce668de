"""Ask for the name of a file or folder to write."""

import re
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget


def ask_to_save(parent: QWidget, title: str, name: str, kinds: str) -> Path | None:
    """Ask where to write; None if the user has changed their mind.

    A name without a suffix gets one. The file dialog asks before it replaces the name as it was
    typed; if the name with its suffix is there already, the user is asked about that.

    Parameters
    ----------
    name
        A proposal.
    kinds
        Filters of the dialog, such as ``"Tables (*.csv *.tsv)"``: the suffixes that are kept. Other
        names get the first.
    """
    typed, _ = QFileDialog.getSaveFileName(parent, title, name, kinds)
    if not typed:
        return None
    path = with_suffix_of(Path(typed), kinds)
    if path.name != Path(typed).name and path.exists() and not _may_replace(parent, path):
        return None
    return path


def with_suffix_of(path: Path, kinds: str) -> Path:
    """Return a path that ends in one of the suffixes of a filter; see `ask_to_save`."""
    suffixes = re.findall(r"\*(\.[\w.]*\w)", kinds)
    if not suffixes or path.name.lower().endswith(tuple(suffixes)):
        return path
    return path.with_name(path.name + suffixes[0])


def _may_replace(parent: QWidget, path: Path) -> bool:
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    question = f"{path.name} is there already. Replace it?"
    return QMessageBox.question(parent, "Replace it?", question, yes | no, no) == yes


__all__ = ["ask_to_save", "with_suffix_of"]
