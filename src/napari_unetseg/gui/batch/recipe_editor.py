"""A text editor for recipes, with a check while typing."""

from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QColor, QFontDatabase, QTextCursor, QTextFormat
from qtpy.QtWidgets import QLabel, QPlainTextEdit, QTextEdit, QVBoxLayout, QWidget

from napari_unetseg.core.recipe import Recipe, RecipeError, parse_recipe, recipe_to_yaml
from napari_unetseg.gui.shared.style import PROBLEM

_WAIT_MS = 150
_LINES = 11
_READING = "Reading the steps..."
_EMPTY = "No recipe yet. Run Threshold or Predict on one image, or open a recipe."


class RecipeEditor(QWidget):
    """A text box for a recipe, with its summary or error below.

    Signals
    -------
    checked(object)
        The recipe in the text, or None if it is not valid; sent after a pause in typing.
    edited()
        The user changed the text.
    """

    checked = Signal(object)
    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._shown = ""
        self._expected = False
        self._recipe: Recipe | None = None
        self.text = QPlainTextEdit()
        self.text.setObjectName("recipe")
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setTabChangesFocus(True)
        self.text.setPlaceholderText(
            "Flatten, threshold or predict an image: the steps appear here. Or open a recipe."
        )
        self.text.setToolTip(
            "The steps and their options. You can edit them; errors are shown below."
        )
        self.text.setMinimumHeight(self.text.fontMetrics().lineSpacing() * _LINES + 12)
        self.remark = QLabel(_EMPTY)
        self.remark.setWordWrap(True)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self.check)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        self.text.textChanged.connect(self._on_changed)

    @property
    def by_hand(self) -> bool:
        """Whether the user changed the text since it was shown."""
        return self.text.toPlainText() != self._shown

    def recipe(self) -> Recipe | None:
        """Return the recipe in the text; None if it is not valid."""
        self.check()
        return self._recipe

    def expect_recipe(self, *, expected: bool = True) -> None:
        """Show that a recipe is being read, or no longer."""
        self._expected = expected
        self.check()

    def show_recipe(self, recipe: Recipe | None) -> None:
        """Replace the text."""
        self._expected = False
        self._shown = "" if recipe is None else recipe_to_yaml(recipe)
        if self.text.toPlainText() != self._shown:
            self.text.setPlainText(self._shown)
        self.check()

    def check(self) -> None:
        """Check the text, show its summary or error, and send `checked`."""
        self._timer.stop()
        text = self.text.toPlainText()
        self._recipe, line, problem = None, None, True
        if not text.strip():
            summary, problem = _READING if self._expected else _EMPTY, False
        else:
            try:
                self._recipe = parse_recipe(text)
                summary, problem = steps_in_words(self._recipe), False
            except RecipeError as error:
                summary, line = str(error), error.line
        self.remark.setText(summary)
        self.remark.setStyleSheet(PROBLEM if problem else "")
        self._mark(line)
        self.checked.emit(self._recipe)

    def _on_changed(self) -> None:
        self._timer.start()
        if self.by_hand:
            self.edited.emit()

    def _mark(self, line: int | None) -> None:
        """Highlight a line."""
        document = self.text.document()
        if line is None or document is None:
            self.text.setExtraSelections([])
            return
        mark: Any = QTextEdit.ExtraSelection()
        mark.format.setBackground(QColor(255, 157, 77, 70))
        mark.format.setProperty(QTextFormat.Property.FullWidthSelection, True)
        mark.cursor = QTextCursor(document.findBlockByNumber(line - 1))
        self.text.setExtraSelections([mark])


def steps_in_words(recipe: Recipe) -> str:
    """Summarise a recipe in one line."""
    steps = []
    if recipe.background is not None:
        verb = {"subtract": "subtract", "divide": "divide by"}[recipe.background.mode]
        steps.append(f"{verb} the background")
    if recipe.threshold is not None:
        kind = "objects" if recipe.makes_objects else "classes"
        steps.append(f"find {kind} by {recipe.threshold.method} threshold")
    if recipe.model is not None:
        file = recipe.model.file.rsplit("/", 1)[-1]
        what = "objects or classes" if recipe.model.what == "auto" else recipe.model.what
        steps.append(f"find {what} with {file}")
    if recipe.cells is not None:
        steps.append(
            "grow cells from them" if recipe.cells.method == "grow" else "find cells and pair them"
        )
    if recipe.measurement is not None:
        steps.append("measure them")
    words = ", ".join(steps)
    return f"{words[:1].upper()}{words[1:]}."


__all__ = ["RecipeEditor", "steps_in_words"]
