"""A hand at a real napari window: clicks, strokes, waiting, and pictures of what came out."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import napari
from PIL import Image as Picture
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QWidget

from napari_unetseg.gui.workbench.dock_registry import STAGES
from window.canvas import Canvas, Place

PLUGIN = "napari-unetseg"
SIZE = (1300, 760)
_LEFT = Qt.MouseButton.LeftButton
_NO_KEY = Qt.KeyboardModifier.NoModifier
_DOCK_WIDTH = 370


class Hand:
    """What a person does in one window of napari, and what a person waits for.

    Parameters
    ----------
    folder
        Where the pictures are written.
    wanted
        The pictures to write; others are passed over.
    """

    def __init__(self, folder: Path, wanted: Iterable[str]) -> None:
        self.folder, self.wanted = folder, set(wanted)
        self.viewer = napari.Viewer(show=True)
        self.window: Any = self.viewer.window
        self.window.resize(*SIZE)
        self.canvas = Canvas(self.viewer)
        self.written: list[str] = []
        self._docks: list[Any] = []
        self.spin(0.5)

    def close(self) -> None:
        """Close the window, and what was left open in it."""
        for dock in self._docks:
            self.window.remove_dock_widget(dock)
        self.viewer.close()
        self.spin(0.2)

    # Waiting

    def spin(self, seconds: float) -> None:
        """Let the window live for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 180) -> None:
        """Let the window live until something is so.

        Raises
        ------
        TimeoutError
            When it does not come to be; `what` says what was waited for.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not so after {seconds:g} s")
            self.spin(0.02)

    # The window

    def open(self, title: str) -> Any:
        """Open a dock of the plugin alone, as from the Plugins menu, and return its page."""
        while self._docks:
            self.window.remove_dock_widget(self._docks.pop())
        dock, page = self.window.add_plugin_dock_widget(PLUGIN, title)
        self._docks.append(dock)
        self.window._qt_window.resizeDocks([dock], [_DOCK_WIDTH], Qt.Orientation.Horizontal)  # noqa: SLF001
        self.wait(page.isVisible, f"the dock {title}")
        self.spin(0.3)
        return page

    def page(self, kind: str) -> Any:
        """Return the page of a class of that name which something else has opened."""
        return next(
            one
            for one in QApplication.allWidgets()
            if type(one).__name__ == kind and one.isVisible()
        )

    def sample(self, key: str) -> Any:
        """Open a sample of the plugin and return its image layer."""
        self.viewer.open_sample(PLUGIN, key)
        self.spin(0.3)
        return self.viewer.layers[-1]

    def click(self, widget: QWidget) -> None:
        """Click a button."""
        if not widget.isEnabled():
            raise RuntimeError(f"{widget.objectName() or widget} cannot be clicked")
        # A tick box is as wide as its page, but only box and text take the click.
        middle = widget.rect().center()
        place = QPoint(8, middle.y()) if isinstance(widget, QCheckBox) else middle
        QTest.mouseClick(widget, _LEFT, _NO_KEY, place)
        self.spin(0.05)

    def run(self, tool: Any, seconds: float = 240) -> str:
        """Press the button of a tool, wait for its end, and return what it says."""
        self.wait(tool.run_button.isEnabled, f"{tool.title} can be run")
        self.click(tool.run_button)
        self.wait(lambda: not tool.running, f"{tool.title} ends", seconds)
        self.spin(0.3)
        tool.scroller.ensureWidgetVisible(tool.message)
        return self.said(tool.message.text(), tool.message.property("problem"))

    def said(self, text: str, problem: object = False) -> str:
        """Return a message, which must not tell of a problem."""
        if problem:
            raise RuntimeError(f"the window says: {text}")
        return text

    def choose(self, box: QComboBox, text: str) -> None:
        """Choose the entry of a box that is called so."""
        at = box.findText(text)
        if at < 0:
            entries = [box.itemText(k) for k in range(box.count())]
            raise RuntimeError(f"no {text!r} among {entries}")
        box.setCurrentIndex(at)
        box.activated.emit(at)
        self.spin(0.1)

    def fill(self, form: Any, **values: Any) -> None:
        """Put values into the widgets of a form."""
        for name, value in values.items():
            form.widget(name).value = value
        self.spin(0.1)

    def choose_data(self, box: QComboBox, data: object) -> None:
        """Choose the entry of a box that stands for something."""
        self.choose(box, box.itemText(box.findData(data)))

    def turn_to(self, bench: Any, title: str) -> Any:
        """Click the stage and the tab of a tool in the workbench and return its page."""
        stage = next(k for k, one in enumerate(STAGES) if title in one.tools)
        self.click(bench.bar.buttons[stage])
        tabs = bench.bar.tabs
        place = tabs.tabRect(STAGES[stage].tools.index(title)).center()
        QTest.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=place)
        return next(tool for tool in bench.tools if tool.title == title)

    def layer(self, ending: str) -> Any:
        """Return the last layer whose name ends so."""
        return next(one for one in reversed(self.viewer.layers) if one.name.endswith(ending))

    def new_labels(self) -> Any:
        """Add a Labels layer with napari's button."""
        self.click(self._inside.layerButtons.newLabelsButton)
        return self.viewer.layers.selection.active

    def home(self) -> None:
        """Fit what there is into the view, as napari's home button does."""
        self.click(self._inside.viewerButtons.resetViewButton)

    @property
    def _inside(self) -> Any:
        """The part of the window that napari gives no public name: its buttons."""
        return self.window._qt_viewer  # noqa: SLF001

    def stroke(self, labels: Any, value: int, places: Sequence[Place]) -> None:
        """Paint a stroke of a label with napari's brush."""
        self.viewer.layers.selection.active = labels
        labels.mode, labels.selected_label = "paint", value
        self.canvas.drag(labels, places)
        labels.mode = "pan_zoom"

    # Pictures

    def picture(self, name: str) -> None:
        """Write a picture of the whole window as it is now, if it is wanted."""
        if name in self.wanted:
            self.shoot(name)
            self.written.append(name)

    def shoot(self, name: str) -> None:
        """Write a picture of the whole window as it is now."""
        self.canvas.leave()
        self.spin(0.6)
        shown = self.viewer.screenshot(canvas_only=False, flash=False)
        self.folder.mkdir(parents=True, exist_ok=True)
        # With all its colours: a palette would change those that stand in a legend alone.
        Picture.fromarray(shown[..., :3]).save(self.folder / f"{name}.png", optimize=True)
        print(f"{name}.png", flush=True)
