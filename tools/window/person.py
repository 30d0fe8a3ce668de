"""A person at the window: finds things by the words on them, clicks, types, looks and waits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QTabBar,
    QToolButton,
    QWidget,
)

from napari_unetseg.gui.workbench.dock_registry import STAGES
from window.canvas import Canvas

LEFT = Qt.MouseButton.LeftButton
_BLINK = 60
"""Milliseconds between two acts."""

_PULSE = 5
"""Milliseconds after which a window that is free handles a timer."""


class Step(NamedTuple):
    """What a person did, and how the window took it."""

    name: str
    seconds: float
    message: str
    """The message in the dock at the end."""
    gap: float = 0.0
    """Longest time in seconds in which the window did not handle events."""
    clicks: int = 0


class Person:
    """Clicks and types in one napari window.

    Parameters
    ----------
    viewer
        The napari viewer.
    album
        Folder for a picture after every step; none are taken without.
    """

    def __init__(self, viewer: Any, album: Path | None = None) -> None:
        self.viewer, self.album = viewer, album
        # napari has no public way to its widgets.
        self.window = viewer.window._qt_window  # noqa: SLF001
        self.canvas = Canvas(viewer)
        self.diary: list[Step] = []
        self._clicks = 0
        self._turns: list[float] = []
        self._pulse = QTimer()
        self._pulse.setInterval(_PULSE)
        self._pulse.timeout.connect(lambda: self._turns.append(time.perf_counter()))
        self._pulse.start()

    @property
    def clicks(self) -> int:
        """The clicks so far, on controls and on the canvas; a typed number counts as one."""
        return self._clicks + self.canvas.clicks

    # Steps

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done within, and take a picture when it is done."""
        self.rest()
        self._turns.clear()
        start, clicks = time.perf_counter(), self.clicks
        yield
        end = time.perf_counter()
        gaps = [after - before for before, after in pairwise([start, *self._turns, end])]
        took = end - start, self.message(), max(gaps), self.clicks - clicks
        self.diary.append(Step(name, *took))
        if self.album is not None:
            self.rest(400)
            self.album.mkdir(parents=True, exist_ok=True)
            file = f"{len(self.diary):02d} {name}.png".replace(" ", "-")
            self.window.grab().save(str(self.album / file))

    def rest(self, milliseconds: int = _BLINK) -> None:
        """Let the window go on."""
        QTest.qWait(milliseconds)

    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until something is so.

        Raises
        ------
        TimeoutError
            When it never is, with the message in the dock.
        """
        end = time.perf_counter() + seconds
        while not condition():
            if time.perf_counter() > end:
                raise TimeoutError(
                    f"Waited {seconds:.0f} s in vain; the dock says: {self.message()}"
                )
            self.rest(20)

    # What is seen

    def message(self) -> str:
        """Return what the dock in sight says last."""
        seen = [one for one in self._all(QLabel, "message") if one.text()]
        return str(seen[-1].text()) if seen else ""

    def button(self, text: str) -> QAbstractButton:
        """Find a button in sight by its words."""
        buttons = [*self._all(QPushButton), *self._all(QToolButton)]
        found = [one for one in buttons if one.text().replace("&", "") == text]
        return self._only(found, f"button {text!r}")

    def field(self, label: str, kind: type[QWidget] = QWidget) -> Any:
        """Find the control that a label in sight stands beside."""
        found = [
            one.buddy()
            for one in self._all(QLabel)
            if one.text().replace("&", "") == label and isinstance(one.buddy(), kind)
        ]
        return self._only([one for one in found if one.isVisible()], f"field {label!r}")

    # Clicks and keys

    def click(self, what: QWidget | str) -> None:
        """Click a control, or the button of these words, scrolling to it first."""
        widget = self.button(what) if isinstance(what, str) else what
        self._scroll_to(widget)
        self.wait(widget.isEnabled, 20)
        self._press(widget, widget.rect().center())
        self.rest()

    def turn_to(self, title: str) -> None:
        """Turn to a tool of the Workbench: click its stage, then its tab, unless it is in sight."""
        at = next(k for k, stage in enumerate(STAGES) if title in stage.tools)
        button = next(b for b in self._all(QToolButton) if b.text() == STAGES[at].title)
        if not button.isChecked():
            self.click(button)
        tabs = next(bar for bar in self._all(QTabBar) if bar.tabText(0) == STAGES[at].tools[0])
        number = STAGES[at].tools.index(title)
        if tabs.currentIndex() != number:
            self._press(tabs, tabs.tabRect(number).center())

    def run(self, text: str, seconds: float = 300) -> str:
        """Press the button that runs a tool, wait until it can be pressed again, and read."""
        button = self.button(text)
        self.click(button)
        self.wait(lambda: not button.isEnabled() or bool(self.message()), 5)
        self.wait(button.isEnabled, seconds)
        self.rest(200)
        return self.message()

    def tick(self, label: str) -> None:
        """Tick the box beside a label."""
        box = self.field(label, QCheckBox)
        self._scroll_to(box)
        if not box.isChecked():
            self._press(box, QPoint(8, box.height() // 2))
        self.rest()

    def choose(self, label: str, text: str) -> None:
        """Open the list beside a label and click an entry."""
        box = self.field(label, QComboBox)
        self._scroll_to(box)
        rows = [k for k in range(box.count()) if box.itemText(k) == text]
        if not rows:
            offered = [box.itemText(k) for k in range(box.count())]
            raise AssertionError(f"{label!r} offers {offered}, not {text!r}")
        view, index = box.view(), box.model().index(rows[0], box.modelColumn())
        for _ in range(5):
            if box.currentText() == text:
                return
            if not view.isVisible():
                self._press(box, box.rect().center())
                self.wait(view.isVisible, 5)
                # A list takes a click right after it was opened for the end of the opening one.
                self.rest(QApplication.doubleClickInterval() + 50)
            view.scrollTo(index)
            self._press(view.viewport(), view.visualRect(index).center())
            self.rest(200)
        raise AssertionError(f"{text!r} of {label!r} cannot be clicked.")

    def number(self, label: str, value: float) -> None:
        """Type a number beside a label."""
        box = self.field(label, QAbstractSpinBox)
        self._scroll_to(box)
        self._clicks += 1
        box.setFocus()
        box.selectAll()
        QTest.keyClicks(box, f"{value:g}")
        QTest.keyClick(box, Qt.Key.Key_Tab)
        self.rest()

    def menu(self, *path: str) -> None:
        """Click through a menu of the window's bar, by how each entry begins."""
        bar: Any = self.window.menuBar()
        for depth, text in enumerate(path):
            entries = [one for one in bar.actions() if one.text().replace("&", "").startswith(text)]
            if not entries:
                raise AssertionError(f"The menu has no {text!r}.")
            action = entries[0]
            self._press(bar, bar.actionGeometry(action).center())
            self.rest(150)
            if depth + 1 < len(path):
                bar = action.menu()
                self.wait(bar.isVisible, 5)

    def answer_file_dialog(self, path: Path, act: Callable[[], None]) -> None:
        """Do what opens a file dialog, type a path into it and press its button.

        Raises
        ------
        AssertionError
            When no dialog came.
        """
        seen: list[QFileDialog] = []

        def type_in() -> None:
            dialog = QApplication.activeModalWidget()
            if not isinstance(dialog, QFileDialog):
                return
            # Typing lets the window go on, and this timer with it.
            timer.stop()
            line = dialog.findChild(QLineEdit, "fileNameEdit")
            if line.text() != str(path):
                line.setFocus()
                line.selectAll()
                QTest.keyClicks(line, str(path))
                # The list of completions would take the click.
                line.completer().popup().hide()
                self.rest()
            # On a busy machine the dialog may still be reading the folder: look again later.
            timer.start()
            if line.text() != str(path):
                return
            seen.append(dialog)
            box = dialog.findChild(QDialogButtonBox)
            roles = QDialogButtonBox.ButtonRole.AcceptRole
            button = next(one for one in box.buttons() if box.buttonRole(one) == roles)
            QTest.mouseClick(button, LEFT)

        timer = QTimer()
        timer.setInterval(400)
        timer.timeout.connect(type_in)
        timer.start()
        act()
        timer.stop()
        self._clicks += 1
        if not seen:
            raise AssertionError("No file dialog came.")
        self.rest(200)

    def _press(self, widget: QWidget, place: QPoint) -> None:
        self._clicks += 1
        QTest.mouseClick(widget, LEFT, pos=place)

    # Finding

    def _all(self, kind: type[Any], name: str = "") -> list[Any]:
        found = self.window.findChildren(kind, name) if name else self.window.findChildren(kind)
        return [one for one in found if one.isVisible()]

    def _only(self, found: list[Any], what: str) -> Any:
        if len(found) != 1:
            raise AssertionError(f"{len(found)} times {what}; the dock says: {self.message()}")
        return found[0]

    def _scroll_to(self, widget: QWidget) -> None:
        above = widget.parentWidget()
        while above is not None:
            if isinstance(above, QScrollArea):
                above.ensureWidgetVisible(widget)
            above = above.parentWidget()
        self.rest()
        if widget.visibleRegion().isEmpty():
            raise AssertionError(f"{widget} cannot be seen.")


__all__ = ["Person", "Step"]
