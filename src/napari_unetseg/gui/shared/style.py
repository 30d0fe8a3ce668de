"""Colours that are legible in dark and light themes and with colour blindness."""

PROBLEM_COLOUR = "#ffb454"
"""Background of a problem, behind dark text: text of this colour is illegible on light themes."""

PROBLEM_TEXT = "#1a1a1a"

PROBLEM = f"background: {PROBLEM_COLOUR}; color: {PROBLEM_TEXT}; padding: 4px; border-radius: 3px;"
"""Style of a label that shows a problem."""

POINTER = "#e69f00"
"""Colour of the tour's pointer and of a chosen class: the orange of Okabe and Ito."""

FOCUS = (
    "QPushButton:focus, QToolButton:focus, QComboBox:focus, QAbstractSpinBox:focus,"
    "QLineEdit:focus, QCheckBox:focus, QTableView:focus, QPlainTextEdit:focus, QListWidget:focus"
    "{ border: 1px solid #3d8bd4; }"
)
"""Style of the widget with keyboard focus, which napari's themes mostly leave unmarked."""

__all__ = ["FOCUS", "POINTER", "PROBLEM", "PROBLEM_COLOUR", "PROBLEM_TEXT"]
