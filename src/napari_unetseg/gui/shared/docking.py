"""Follow a widget into and out of its dock."""

import atexit
from collections.abc import Callable
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QMessageBox, QPushButton, QWidget

_TABBED = "unetseg_tab"
_CLOSE_BUTTON = "QTitleBarCloseButton"
"""Name of the button in the title bar of napari's docks."""


def when_undocked(widget: QWidget, call: Callable[[], None]) -> None:
    """Call `call` when `widget` leaves its dock, or Python ends while it is in one.

    Closing a dock does not destroy the widget. At the end of Python, Qt's objects are destroyed in
    any order, and hiding a widget then would use timers and layers that are gone.
    """
    _AT_END.add(_Docking(widget, call, docked=False))


def open_as_tab(widget: QWidget) -> None:
    """Show the dock of `widget` as a tab over another dock of this plugin, never below it."""
    widget.setProperty(_TABBED, True)
    _when_placed(widget, lambda: _join_tabs(widget))


def ask_before_closing(widget: QWidget, running: Callable[[], str]) -> None:
    """Ask before the button of a dock closes it during a run, which would be cancelled.

    Parameters
    ----------
    widget
        What the dock holds.
    running
        Returns the titles of the tools that run, or ``""``.
    """
    _when_placed(widget, _CloseGuard(widget, running).watch)


def _when_placed(widget: QWidget, call: Callable[[], None]) -> None:
    """Call `call` each time napari has placed the dock of `widget`, after the widget is in it."""
    # A timer of the widget ends with it.
    soon = QTimer(widget)
    soon.setSingleShot(True)
    soon.timeout.connect(call)
    _Docking(widget, soon.start, docked=True)


class _CloseGuard(QObject):
    """Takes the press of a dock's close button while something runs, and asks."""

    def __init__(self, widget: QWidget, running: Callable[[], str]) -> None:
        super().__init__(widget)
        self._widget, self._running = widget, running

    def watch(self) -> None:
        """Watch the close button of napari's title bar, if the dock has one."""
        dock = self._widget.parent()
        bar = dock.titleBarWidget() if isinstance(dock, QDockWidget) else None
        button = None if bar is None else bar.findChild(QPushButton, _CLOSE_BUTTON)
        if button is not None:
            button.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        press = (QEvent.Type.MouseButtonPress, QEvent.Type.KeyPress)
        running = self._running() if event is not None and event.type() in press else ""
        if not running or not isinstance(watched, QPushButton):
            return False
        yes = QMessageBox.StandardButton.Yes
        question = f"{running} is still running. Close the dock and cancel the run?"
        if QMessageBox.question(self._widget, "Close the dock?", question) == yes:
            watched.click()
        return True


class _Docking(QObject):
    """Calls back when a widget gets a parent (`docked`), or loses it."""

    def __init__(self, widget: QWidget, call: Callable[[], None], *, docked: bool) -> None:
        super().__init__(widget)
        self._widget, self._call, self._wanted = widget, call, docked
        self._docked = False
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.ParentChange:
            docked = self._widget.parent() is not None
            changed, self._docked = docked != self._docked, docked
            if changed and docked is self._wanted:
                self._call()
        return False

    def end(self) -> None:
        """Call back if the widget is still in its dock."""
        if isalive(self) and self._docked:  # type: ignore[no-untyped-call]
            self._docked = False
            self._call()


_AT_END: WeakSet[_Docking] = WeakSet()


# After the import of Qt, and so called before Qt's own end.
@atexit.register
def _end_all() -> None:
    for docking in list(_AT_END):
        docking.end()


def _join_tabs(widget: QWidget) -> None:
    dock = widget.parent()
    while dock is not None and not isinstance(dock, QDockWidget):
        if dock.property(_TABBED):
            return  # a page of the Workbench
        dock = dock.parent()
    window = None if dock is None else dock.parent()
    if not isinstance(dock, QDockWidget) or not isinstance(window, QMainWindow):
        return
    area = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        here = other is not dock and window.dockWidgetArea(other) == area
        if here and not other.isHidden() and not other.isFloating() and _holds_a_tab(other):
            window.tabifyDockWidget(other, dock)
            dock.show()
            dock.raise_()
            return


def _holds_a_tab(dock: QDockWidget) -> bool:
    inside = dock.widget()
    if inside is None:
        return False
    return any(one.property(_TABBED) for one in [inside, *inside.findChildren(QWidget)])


__all__ = ["ask_before_closing", "open_as_tab", "when_undocked"]
