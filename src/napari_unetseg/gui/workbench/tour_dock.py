"""The guided tour: from a sample image to a table of its objects, in the real docks."""

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.docking import when_undocked
from napari_unetseg.gui.shared.style import FOCUS
from napari_unetseg.gui.workbench.pointer import Pointer
from napari_unetseg.gui.workbench.tour_stage import Stage
from napari_unetseg.gui.workbench.tour_steps import STEPS, TourStep

_LOOK_MS = 250
_PAUSE_MS = 1500
_LINES = 5
_END = (
    "End of the tour",
    "Keep the layers of the tour, or remove them. Your own layers were not changed.",
)


class TourWidget(QWidget):
    """The panel of the tour with the instruction, Back, Next and Stop.

    When the user has done a step, the next one follows automatically.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    title = "Guided tour"

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__()
        self.stage = Stage(napari_viewer)
        self.at, self.ended = 0, False
        self._tool: Any = None
        self._was_done = self._closed = False
        self._pointer = Pointer()
        self._build()
        self._watcher = QTimer(self)
        self._watcher.setInterval(_LOOK_MS)
        self._watcher.timeout.connect(self._look)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.go_on)
        when_undocked(self, self.close_tour)
        self._show()
        self._watcher.start()

    @property
    def step(self) -> TourStep:
        """The current step."""
        return STEPS[self.at]

    def go_on(self) -> None:
        """Go to the next step, or end."""
        if self.at + 1 < len(STEPS):
            self._go(self.at + 1)
        else:
            self.end()

    def go_back(self) -> None:
        """Go to the previous step."""
        self._go(max(self.at - 1, 0))

    def do(self) -> None:
        """Do the step for the user."""
        step = self.step
        if step.do is not None:
            if self._tool is not None:
                step.begin(self.stage, self._tool)
            step.do(self.stage, self._tool)
            self._look()

    def end(self) -> None:
        """Stop, and offer to keep or remove the tour's layers; close if there are none."""
        self._pause.stop()
        self._pointer.point_at(None)
        if not self.stage.layers():
            self._leave()
            return
        self.ended = True
        self._show()

    def keep_layers(self) -> None:
        """Close the tour, and keep its layers."""
        self._leave()

    def remove_layers(self) -> None:
        """Close the tour, and remove its layers."""
        self.stage.remove_layers()
        self._leave()

    def close_tour(self) -> None:
        """Stop pointing and following."""
        if not self._closed:
            self._closed = True
            self._watcher.stop()
            self._pause.stop()
            self._pointer.point_at(None)
            self.stage.leave_tools()

    def _go(self, number: int) -> None:
        self._pause.stop()
        self.at, self.ended = number, False
        self._show()

    def _show(self) -> None:
        """Show the current step, open its tool, and point at the control."""
        title, text = _END if self.ended else (self.step.title, self.step.text)
        self._heading.setText(f"<b>{title}</b>")
        self._text.setText(text)
        if not self.ended:
            self._tool = self.stage.tool(self.step.dock) if self.step.dock else None
            if self._tool is not None:
                self.step.begin(self.stage, self._tool)
        self._was_done = self._is_done()
        self._point()
        self._look()

    def _point(self) -> None:
        target = None if self.ended or self._tool is None else self.step.point(self._tool)
        if target is not None:
            self._tool.scroller.ensureWidgetVisible(target)
        self._pointer.point_at(target)

    def _is_done(self) -> bool:
        return self.step.done is None or self.step.done(self.stage)

    def _look(self) -> None:
        """Check whether the user has done the step."""
        if self._closed:
            return
        if self.at > 0 and not self.ended and self.stage.image is None:
            self._go(0)
            return
        self._pointer.follow()
        done = self._is_done()
        if done and not self._was_done and not self.ended:
            self._was_done = True
            self._pause.start()
        busy = self._tool is not None and self._tool.running
        self._offer(done, busy)

    def _offer(self, done: bool, busy: bool) -> None:
        step, last = self.step, self.at + 1 == len(STEPS)
        at_work = not self.ended
        self.do_button.setVisible(at_work and step.do is not None and not done)
        self.do_button.setText("Do it for me" if self.at else "Open the sample")
        self.do_button.setEnabled(not busy)
        self.back_button.setVisible(at_work and self.at > 0)
        self.next_button.setVisible(at_work)
        self.next_button.setText("Finish" if last else "Next")
        self.next_button.setEnabled(done)
        self.stop_button.setVisible(at_work and not last)
        self.keep_button.setVisible(self.ended)
        self.remove_button.setVisible(self.ended)
        self._done.setVisible(at_work and done and step.done is not None)

    def _leave(self) -> None:
        """Close the dock."""
        self.close_tour()
        self.stage.viewer.window.remove_dock_widget(self)

    def _build(self) -> None:
        self._heading, self._text = QLabel(), QLabel()
        self._text.setWordWrap(True)
        self._text.setObjectName("message")
        # A dock has no height for width: without room for the longest text it would be clipped.
        self._text.setMinimumHeight(_LINES * self._text.fontMetrics().lineSpacing())
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._done = QLabel("Done.")
        self.back_button = text_button("Back", "Go to the previous step.", self.go_back)
        self.do_button = text_button("", "Let the tour do this step.", self.do)
        self.next_button = text_button("Next", "Go to the next step.", self.go_on)
        self.stop_button = text_button("Stop", "Leave the tour.", self.end)
        self.keep_button = text_button(
            "Keep its layers", "Close the tour; its layers stay.", self.keep_layers
        )
        self.remove_button = text_button(
            "Remove its layers",
            "Close the tour, and remove the sample and all results from it.",
            self.remove_layers,
        )
        row = QHBoxLayout()
        for button in (
            self.back_button,
            self.do_button,
            self.next_button,
            self.stop_button,
            self.keep_button,
            self.remove_button,
        ):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        for widget in (self._heading, self._text, self._done):
            column.addWidget(widget)
        column.addLayout(row)
        self.setStyleSheet(FOCUS)
        self.setMinimumWidth(280)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)


__all__ = ["TourWidget"]
