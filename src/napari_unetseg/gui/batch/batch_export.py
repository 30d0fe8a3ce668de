"""Export of a recipe as a command line, a Python script, or a methods paragraph."""

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtGui import QFontDatabase, QGuiApplication
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.recipe import Batch
from napari_unetseg.core.recipe.methods_text import methods_paragraph
from napari_unetseg.core.recipe.script_export import python_script, shell_command

_MOST_NAMED = 8
_WIDTH, _HEIGHT = 640, 420


@dataclass(frozen=True)
class Words:
    """A recipe as three texts.

    Parameters
    ----------
    command, script, methods
        The command line, the Python script, and the paragraph.
    """

    command: str
    script: str
    methods: str


def words_of(batch: Batch, recipe: Path) -> Words:
    """Write a batch as texts, opening its model for the description.

    Parameters
    ----------
    recipe
        The recipe's file.

    Raises
    ------
    InputError
        If the model cannot be opened.
    """
    inputs: tuple[Path, ...] = batch.inputs
    folders = sorted({path.parent for path in inputs})
    # A command line with a thousand files is useless.
    named = inputs if len(inputs) <= _MOST_NAMED else tuple(folders)
    try:
        model, cell_model = batch.model(), batch.cell_model()
    except NeedsTrust:
        # It could be described only by running it, which was not requested.
        model = cell_model = None
    return Words(
        shell_command(recipe, named or (Path("IMAGES"),), batch.out, flattened=batch.flattened),
        python_script(batch.recipe, batch.folder),
        methods_paragraph(batch.recipe, model, cell_model),
    )


class WordsDialog(QDialog):
    """A dialog that shows `Words` for copying.

    Parameters
    ----------
    words
        The texts.
    saved
        Whether the recipe has a file, which the command line names.
    """

    def __init__(self, words: Words, parent: QWidget | None = None, *, saved: bool) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export the recipe")
        self.tabs = QTabWidget()
        hint = "" if saved else "Save the recipe first, and replace RECIPE by its name."
        about = {
            "Methods": (words.methods, "For the methods section of a paper; check it."),
            "Command line": (words.command, f"Runs the recipe on the same images. {hint}"),
            "Python script": (words.script, "Runs the same steps through the Python functions."),
        }
        for title, (text, help_text) in about.items():
            self.tabs.addTab(self._page(text, help_text, wrap=title != "Python script"), title)
        copy = QPushButton("Copy")
        copy.setToolTip("Copy the text of this page.")
        copy.clicked.connect(lambda: self.copy())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.tabs)
        column.addWidget(buttons)
        self.resize(_WIDTH, _HEIGHT)

    def text(self) -> str:
        """Return the text of the front page."""
        page = self.tabs.currentWidget()
        box = None if page is None else page.findChild(QPlainTextEdit)
        return "" if box is None else box.toPlainText()

    def copy(self) -> None:
        """Copy the text of the front page to the clipboard."""
        board = QGuiApplication.clipboard()
        if board is not None:
            board.setText(self.text())

    def _page(self, text: str, help_text: str, *, wrap: bool) -> QWidget:
        page = QWidget()
        box = QPlainTextEdit(text)
        box.setReadOnly(True)
        if not wrap:
            box.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
            box.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        hint_label = QLabel(help_text.strip())
        hint_label.setWordWrap(True)
        column = QVBoxLayout(page)
        column.addWidget(hint_label)
        column.addWidget(box)
        return page


__all__ = ["Words", "WordsDialog", "words_of"]
