"""Colours that are read in dark and light themes, and by every eye."""

PROBLEM_COLOUR = "#ffb454"
"""What marks a problem, always behind dark text: text of this colour is lost on a light theme."""

PROBLEM_TEXT = "#1a1a1a"

PROBLEM = f"background: {PROBLEM_COLOUR}; color: {PROBLEM_TEXT}; padding: 4px; border-radius: 3px;"
"""Style of a label that tells of a problem."""

POINTER = "#e69f00"
"""What points at something: the orange of Okabe and Ito."""

FOCUS = (
    "QPushButton:focus, QToolButton:focus, QComboBox:focus, QAbstractSpinBox:focus,"
    "QLineEdit:focus, QCheckBox:focus, QTableView:focus, QPlainTextEdit:focus, QListWidget:focus"
    "{ border: 1px solid #3d8bd4; }"
)
"""Style of what has the keyboard; napari's themes leave most of it unmarked."""

__all__ = ["FOCUS", "POINTER", "PROBLEM", "PROBLEM_COLOUR", "PROBLEM_TEXT"]
