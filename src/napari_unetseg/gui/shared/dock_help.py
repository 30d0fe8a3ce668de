"""The line at the top of every dock: its purpose and a Help button."""

from importlib import resources
from typing import Any

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

import napari_unetseg

_SIZE = (560, 520)


class About(QWidget):
    """One line with the purpose of a dock, and a Help button beside it.

    The key F1 in the dock opens the help as well.

    Parameters
    ----------
    title
        Title of the dock; its help page has the same name.
    text
        The purpose of the dock.
    dock
        The widget in which F1 opens the help.
    """

    def __init__(self, title: str, text: str, dock: QWidget) -> None:
        super().__init__()
        self._title = title
        self._window: HelpWindow | None = None
        line = QLabel(text)
        line.setWordWrap(True)
        line.setObjectName("help")
        self.help_button = small_button("Help", f"How to use {title} (F1).", self.open_help)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.addWidget(line, 1)
        self.row.addWidget(self.help_button, 0, Qt.AlignmentFlag.AlignTop)
        shortcut = QShortcut(QKeySequence(QKeySequence.StandardKey.HelpContents), dock)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.open_help)

    def open_help(self) -> None:
        """Show the help of the dock in a window of its own."""
        if self._window is None:
            self._window = HelpWindow(self)
        self._window.show_page(file_of(self._title))
        self._window.show()
        self._window.raise_()


class HelpWindow(QDialog):
    """A window for the help pages that ship with the package, with links between them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Help")
        self.resize(*_SIZE)
        self.page = ""
        self.text = QTextBrowser()
        self.text.setOpenLinks(False)
        self.text.anchorClicked.connect(self._on_link)
        column = QVBoxLayout(self)
        column.addWidget(self.text)

    def show_page(self, name: str) -> None:
        """Show the help of one dock, by the name of its file."""
        self.page = name
        self.text.setMarkdown(help_of(name))

    def _on_link(self, url: QUrl) -> None:
        if url.isRelative():
            self.show_page(url.fileName())
        else:
            QDesktopServices.openUrl(url)


def file_of(title: str) -> str:
    """Return the file name of the help page of a dock."""
    return f"{title.lower().replace(' ', '_')}.md"


def help_of(name: str) -> str:
    """Read a help page as Markdown."""
    place = resources.files(napari_unetseg) / "gui" / "help" / name
    return place.read_text(encoding="utf-8")


def small_button(text: str, help_text: str, slot: Any) -> QPushButton:
    """Make a button that is no wider than its text."""
    button = text_button(text, help_text, slot)
    button.setStyleSheet("QPushButton { padding: 1px 6px; }")
    return button


def text_button(text: str, help_text: str, slot: Any) -> QPushButton:
    """Make a button that calls `slot` without arguments."""
    button = QPushButton(text)
    button.setToolTip(help_text)
    button.clicked.connect(lambda: slot())
    return button


__all__ = ["About", "HelpWindow", "file_of", "help_of", "small_button", "text_button"]
